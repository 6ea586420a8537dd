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

/// The words of mails.
pub(super) fn words(language: Language) -> &'static Words {
    let [english, simplified, traditional] = &WORDS;
    language.of([english, simplified, traditional])
}
