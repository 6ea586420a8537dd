//! What mails say in each language: English, Simplified and Traditional Chinese.

use rounds_domain::Language;

/// Words that mails are made of.
#[derive(Debug)]
pub(super) struct Words {
    pub(super) area: &'static str,
    pub(super) place: &'static str,
    pub(super) due: &'static str,
    pub(super) category: &'static str,
    pub(super) description: &'static str,
    pub(super) answer: &'static str,
    pub(super) footer: &'static str,
    pub(super) overdue: &'static str,
    pub(super) due_today: &'static str,
    pub(super) due_this_week: &'static str,
    pub(super) missed: &'static str,
    pub(super) gaps: &'static str,
    pub(super) more: &'static str,
    pub(super) none: &'static str,
}

const WORDS: [Words; 3] = [
    Words {
        area: "Area",
        place: "Place",
        due: "Due",
        category: "About",
        description: "What is asked for",
        answer: "Answer here: take it on, send it back, say how it goes, say that it is solved. \
                 Whoever has this link can answer; it expires.",
        footer: "Sent by Rounds. Replies to this mail are read by nobody.",
        overdue: "Overdue",
        due_today: "Due today",
        due_this_week: "Due within a week",
        missed: "Missed since the last digest",
        gaps: "Longer without than the law allows",
        more: "and more",
        none: "none",
    },
    Words {
        area: "区域",
        place: "地点",
        due: "截止",
        category: "类别",
        description: "诉求内容",
        answer: "请在此答复：接办、退回、说明进展或办结。持有此链接者均可答复，链接到期失效。",
        footer: "此邮件由 Rounds 自动发送，请勿回复。",
        overdue: "已逾期",
        due_today: "今天到期",
        due_this_week: "一周内到期",
        missed: "上次汇总以来错过的",
        gaps: "间隔超过法定期限",
        more: "以及更多",
        none: "无",
    },
    Words {
        area: "區域",
        place: "地點",
        due: "截止",
        category: "類別",
        description: "訴求內容",
        answer: "請在此答覆：接辦、退回、說明進展或辦結。持有此連結者均可答覆，連結到期失效。",
        footer: "此郵件由 Rounds 自動寄出，請勿回覆。",
        overdue: "已逾期",
        due_today: "今天到期",
        due_this_week: "一週內到期",
        missed: "上次彙總以來錯過的",
        gaps: "間隔超過法定期限",
        more: "以及更多",
        none: "無",
    },
];

/// Sorts of notices.
const NOTICES: &[(&str, [&str; 3])] = &[
    ("reminder", ["Reminder", "提醒", "提醒"]),
    ("overdue", ["Overdue", "逾期", "逾期"]),
    ("gap", ["Alert: longer than the law allows", "警告：超过法定间隔", "警告：超過法定間隔"]),
    (
        "plan_off",
        [
            "Alert: a plan that the law requires was switched off",
            "警告：法定计划被停用",
            "警告：法定計畫被停用",
        ],
    ),
    ("referral", ["Referred to you", "转办", "轉辦"]),
    ("digest", ["Digest", "汇总", "彙總"]),
];

/// What has to be done, in the words of plans and follow-ups.
const WORK: &[(&str, [&str; 3])] = &[
    ("maintenance", ["Maintenance", "维护保养", "維護保養"]),
    ("statutory_inspection", ["Statutory inspection", "法定检验", "法定檢驗"]),
    ("watering", ["Watering", "浇水", "澆水"]),
    ("recheck", ["Recheck", "复查", "複查"]),
    ("second_call", ["Second call", "再次上门", "再次上門"]),
    ("referral_chase", ["Referral without an answer", "转办催办", "轉辦催辦"]),
    ("verification", ["Verification on site", "现场核实", "現場核實"]),
    ("contract_expiry", ["Contract expires", "合同到期", "合約到期"]),
    ("confirmation", ["Confirmation", "确认", "確認"]),
];

/// The words of mails.
pub(super) fn words(language: Language) -> &'static Words {
    let [english, simplified, traditional] = &WORDS;
    language.of([english, simplified, traditional])
}

/// The sort of a notice; the word itself where there is no other.
pub(super) fn notice(language: Language, sort: &str) -> &str {
    phrase(NOTICES, language, sort)
}

/// What has to be done; the word itself where there is no other.
pub(super) fn work(language: Language, sort: &str) -> &str {
    phrase(WORK, language, sort)
}

fn phrase<'a>(phrases: &[(&str, [&'static str; 3])], language: Language, word: &'a str) -> &'a str {
    let found = phrases.iter().find(|(name, _)| *name == word);
    found.map_or(word, |(_, texts)| language.of(*texts))
}
