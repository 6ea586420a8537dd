//! Built-in words. A city adds its own as [`Term`](crate::body::Term) records; no release is needed for that.

use crate::body::Term;

/// A vocabulary and its built-in words, each with its label in English, Simplified and Traditional Chinese.
pub type Vocabulary = (&'static str, &'static [[&'static str; 4]]);

/// The words that every installation knows.
pub const BUILT_IN: &[Vocabulary] = &[
    (
        "request_category",
        &[
            ["emergency", "Emergency", "紧急求助", "緊急求助"],
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
            ["complex", "Complex matter", "疑难问题", "疑難問題"],
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

/// How long a partner may take over a request of a category, in hours. [`GENERAL_DUE_HOURS`] for the others.
///
/// After the four grades by which Beijing's hot-line 12345 has referrals answered: 2 hours where somebody is in danger,
/// 24 hours where water, power or heating is cut off, 7 days in general, 15 days where several offices have to agree.
pub const DUE_HOURS: &[(&str, u32)] =
    &[("emergency", 2), ("water", 24), ("power", 24), ("heating", 24), ("complex", 15 * 24)];

/// How long a partner may take over any other request, in hours: 7 days.
pub const GENERAL_DUE_HOURS: u32 = 7 * 24;

/// The vocabulary of what residents ask for.
pub const REQUEST_CATEGORY: &str = "request_category";

/// How long a partner may take over a request of this category, in hours: as the first of the terms says that says
/// so, or as is built in. Give the terms of the nearest area first.
pub fn due_hours<'a>(category: &str, terms: impl IntoIterator<Item = &'a Term>) -> u32 {
    let said = terms
        .into_iter()
        .filter(|term| term.vocabulary == REQUEST_CATEGORY && term.word == category)
        .find_map(|term| term.due_hours);
    let built_in = || DUE_HOURS.iter().find(|(word, _)| *word == category).map(|(_, hours)| *hours);
    said.or_else(built_in).unwrap_or(GENERAL_DUE_HOURS)
}
