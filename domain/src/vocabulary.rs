//! Built-in words. A city adds its own as [`Term`](crate::body::Term) records; no release is needed for that.

/// A vocabulary and its built-in words, each with its label in English, Simplified and Traditional Chinese.
pub type Vocabulary = (&'static str, &'static [[&'static str; 4]]);

/// The words that every installation knows.
pub const BUILT_IN: &[Vocabulary] = &[
    (
        "request_category",
        &[
            ["water", "Water", "供水", "供水"],
            ["power", "Power", "供电", "供電"],
            ["heating", "Heating", "供暖", "供暖"],
            ["elevator", "Elevator", "电梯", "電梯"],
            ["property", "Property management", "物业管理", "物業管理"],
            ["noise", "Noise", "噪音", "噪音"],
            ["green", "Greenery", "绿化", "綠化"],
            ["parking", "Parking", "停车", "停車"],
            ["hardship", "Hardship support", "困难帮扶", "困難幫扶"],
            ["mediation", "Mediation", "调解", "調解"],
            ["other", "Other", "其他", "其他"],
        ],
    ),
    (
        "request_channel",
        &[
            ["visit", "Visit", "入户走访", "入戶走訪"],
            ["meeting", "Residents' meeting", "居民会议", "居民會議"],
            ["phone", "Phone", "电话", "電話"],
            ["walk_in", "Walk-in", "来访", "來訪"],
        ],
    ),
    (
        "visit_outcome",
        &[
            ["met", "Met", "见到", "見到"],
            ["no_answer", "No answer", "无人应答", "無人應答"],
            ["refused", "Refused", "拒访", "拒訪"],
            ["moved", "Moved away", "已搬走", "已搬走"],
        ],
    ),
    (
        "visit_purpose",
        &[
            ["routine", "Routine", "日常走访", "日常走訪"],
            ["recheck", "Recheck", "复查", "複查"],
            ["persuasion", "Persuasion", "劝导", "勸導"],
            ["request", "About a request", "诉求走访", "訴求走訪"],
        ],
    ),
    (
        "inspection_result",
        &[
            ["pass", "Pass", "合格", "合格"],
            ["fail", "Fail", "不合格", "不合格"],
            ["needs_attention", "Needs attention", "需关注", "需關注"],
        ],
    ),
    (
        "violation_sort",
        &[
            ["illegal_structure", "Illegal structure", "违法建设", "違章建築"],
            ["occupied_green", "Occupied green space", "占用绿地", "佔用綠地"],
            ["destroyed_green", "Destroyed greenery", "毁绿", "毀綠"],
            ["dumping", "Dumping", "乱倒垃圾", "亂倒垃圾"],
            ["graffiti", "Graffiti", "乱涂乱画", "亂塗亂畫"],
            ["damaged_wall", "Damaged wall", "破坏墙体", "破壞牆體"],
            ["obstructing_vehicle", "Obstructing vehicle", "车辆占道", "車輛佔道"],
        ],
    ),
];
