//! What people read for the domain's own names: kinds, stages, roles, fields, verdicts.

use super::Language;
use crate::access::Role;
use crate::kind::Kind;
use crate::verdict::{Outcome, Reason};

impl Language {
    /// The noun for one record of a kind.
    pub fn kind(self, kind: Kind) -> &'static str {
        self.of(kind_labels(kind).0)
    }

    /// The noun for several records of a kind.
    pub fn kinds(self, kind: Kind) -> &'static str {
        let (one, several) = kind_labels(kind);
        match self {
            Self::English => several,
            Self::SimplifiedChinese | Self::TraditionalChinese => self.of(one), // nouns have no plural
        }
    }

    /// A stage of a kind of record; the word itself where there is no other.
    pub fn stage(self, kind: Kind, status: &str) -> &str {
        let stages = match kind {
            Kind::Request => REQUEST,
            Kind::Violation => VIOLATION,
            Kind::FollowUp => FOLLOW_UP,
            Kind::Adoption => ADOPTION,
            Kind::Notice => NOTICE,
            _ => &[],
        };
        self.phrase(stages, status)
    }

    /// What a device may do.
    pub fn role(self, role: Role) -> &'static str {
        self.of(match role {
            Role::Field => ["Field", "一线人员", "一線人員"],
            Role::Coordinator => ["Coordinator", "协调员", "協調員"],
            Role::Supervisor => ["Supervisor", "主管", "主管"],
            Role::Partner => ["Partner", "协作单位", "協作單位"],
            Role::Admin => ["Administrator", "管理员", "管理員"],
            Role::System => ["System", "系统", "系統"],
        })
    }

    /// The name of a field; the word itself where there is no other.
    pub fn field(self, name: &str) -> &str {
        self.phrase(FIELDS, name)
    }

    /// The sort of a place, asset, organization or group; the word itself where there is no other.
    pub fn thing(self, sort: &str) -> &str {
        self.phrase(THINGS, sort)
    }

    /// What became of an op.
    pub fn outcome(self, outcome: Outcome) -> &'static str {
        self.of(match outcome {
            Outcome::Applied => ["Applied", "已生效", "已生效"],
            Outcome::Merged => ["Said already", "与已有内容一致", "與既有內容一致"],
            Outcome::ConflictRecorded => ["Applied, with a conflict", "已生效，有冲突", "已生效，有衝突"],
            Outcome::NotApplied => ["Kept, not applied", "留存，未生效", "留存，未生效"],
            Outcome::Quarantined => ["In quarantine", "待审", "待審"],
            Outcome::Retry => ["To be sent again", "需重新发送", "需重新傳送"],
        })
    }

    /// Why an op was not simply applied.
    pub fn reason(self, reason: Reason) -> &'static str {
        self.of(match reason {
            Reason::Malformed => ["It cannot be read", "内容无法识别", "內容無法識別"],
            Reason::UnknownSchema => ["From a newer app", "来自较新版本的应用", "來自較新版本的應用程式"],
            Reason::UnknownKind => ["Of an unknown kind", "类型未知", "類型未知"],
            Reason::Invalid => ["A field is not as it should be", "字段不符合要求", "欄位不符合要求"],
            Reason::Forbidden => ["The role does not allow it", "角色无此权限", "角色無此權限"],
            Reason::NotInScope => {
                ["Outside of the author's areas", "不在记录者的区域内", "不在記錄者的區域內"]
            }
            Reason::GroupRefused => {
                ["Another op of its group was refused", "同组的其他操作未被接收", "同組的其他操作未被接收"]
            }
            Reason::DependsOnQuarantined => {
                ["Its record waits in quarantine", "所属记录仍在待审", "所屬記錄仍在待審"]
            }
            Reason::DeviceRevoked => ["The device was revoked", "设备已停用", "裝置已停用"],
            Reason::UnknownRecord => ["No such record yet", "尚无此记录", "尚無此記錄"],
            Reason::AlreadyExists => {
                ["The record exists with other content", "记录已存在，内容不同", "記錄已存在，內容不同"]
            }
            Reason::Deleted => ["The record was deleted", "记录已删除", "記錄已刪除"],
            Reason::StepNotAllowed => {
                ["Not allowed from the stage it had", "当时的状态不允许此步骤", "當時的狀態不允許此步驟"]
            }
            Reason::FieldFixed => ["The field cannot change", "该字段不可更改", "該欄位不可更改"],
            Reason::WrongKind => ["It does not fit the kind of record", "与记录类型不符", "與記錄類型不符"],
            Reason::GroupIncomplete => {
                ["The rest of its group is missing", "同组操作不完整", "同組操作不完整"]
            }
            Reason::SequenceGap => ["An op before it is missing", "缺少之前的操作", "缺少之前的操作"],
            Reason::Behind => {
                ["An op before it was not taken in", "之前的操作未被接收", "之前的操作未被接收"]
            }
        })
    }
}

type Phrases = &'static [(&'static str, [&'static str; 3])];

/// One in each language, and several in English.
fn kind_labels(kind: Kind) -> ([&'static str; 3], &'static str) {
    match kind {
        Kind::Area => (["Area", "区域", "區域"], "Areas"),
        Kind::Place => (["Place", "地点", "地點"], "Places"),
        Kind::Asset => (["Asset", "设施", "設施"], "Assets"),
        Kind::Organization => (["Partner", "协作单位", "協作單位"], "Partners"),
        Kind::Commitment => (["Commitment", "承诺事项", "承諾事項"], "Commitments"),
        Kind::Contract => (["Contract", "合同", "合約"], "Contracts"),
        Kind::Worker => (["Worker", "工作人员", "工作人員"], "Workers"),
        Kind::Group => (["Group", "小组", "小組"], "Groups"),
        Kind::Visit => (["Visit", "走访", "走訪"], "Visits"),
        Kind::Inspection => (["Inspection", "检查", "檢查"], "Inspections"),
        Kind::Request => (["Request", "诉求", "訴求"], "Requests"),
        Kind::Violation => (["Violation", "违规事项", "違規事項"], "Violations"),
        Kind::Plan => (["Plan", "计划", "計畫"], "Plans"),
        Kind::FollowUp => (["Follow-up", "待办", "待辦"], "Follow-ups"),
        Kind::Adoption => (["Adoption", "认养", "認養"], "Adoptions"),
        Kind::Attachment => (["Attachment", "附件", "附件"], "Attachments"),
        Kind::Checklist => (["Checklist", "检查表", "檢查表"], "Checklists"),
        Kind::Term => (["Word", "词条", "詞條"], "Words"),
        Kind::Notice => (["Notice", "通知", "通知"], "Notices"),
        Kind::Policy => (["Policy", "提醒规则", "提醒規則"], "Policies"),
    }
}

const REQUEST: Phrases = &[
    ("open", ["Open", "待受理", "待受理"]),
    ("triaged", ["Triaged", "已受理", "已受理"]),
    ("referred", ["Referred", "已转办", "已轉辦"]),
    ("in_progress", ["In progress", "办理中", "辦理中"]),
    ("resolved", ["Resolved", "已办结，待核实", "已辦結，待核實"]),
    ("verified", ["Verified", "已核实", "已核實"]),
    ("closed", ["Closed", "已关闭", "已關閉"]),
    ("rejected", ["Rejected", "不予受理", "不予受理"]),
];

const VIOLATION: Phrases = &[
    ("found", ["Found", "已发现", "已發現"]),
    ("stopped", ["Stopped", "已制止", "已制止"]),
    ("reported", ["Reported", "已上报", "已通報"]),
    ("agreed", ["Agreed", "已同意整改", "已同意改善"]),
    ("removed", ["Removed", "已拆除清理", "已拆除清理"]),
    ("restored", ["Restored", "已恢复", "已恢復"]),
    ("closed", ["Closed", "已结案", "已結案"]),
];

const FOLLOW_UP: Phrases = &[
    ("open", ["Open", "待完成", "待完成"]),
    ("done", ["Done", "已完成", "已完成"]),
    ("missed", ["Missed", "已错过", "已錯過"]),
    ("cancelled", ["Cancelled", "已取消", "已取消"]),
];

const ADOPTION: Phrases = &[
    ("offered", ["Offered", "待确认", "待確認"]),
    ("confirmed", ["Confirmed", "已确认", "已確認"]),
    ("lapsed", ["Lapsed", "已失效", "已失效"]),
    ("ended", ["Ended", "已结束", "已結束"]),
];

const NOTICE: Phrases = &[
    ("raised", ["Raised", "已发出", "已發出"]),
    ("seen", ["Seen", "已阅", "已閱"]),
    ("withdrawn", ["Withdrawn", "已撤回", "已撤回"]),
];

const FIELDS: Phrases = &[
    ("adoption", ["Adoption", "认养", "認養"]),
    ("address", ["Address", "地址", "地址"]),
    ("after_completion", ["Counts from the last completion", "从上次完成起算", "從上次完成起算"]),
    ("answers", ["Answers", "检查答案", "檢查答案"]),
    ("asset", ["Asset", "设施", "設施"]),
    ("at_ms", ["Called for at", "发出时间", "發出時間"]),
    ("attributes", ["Technical data", "技术参数", "技術參數"]),
    ("catch_up", ["After a stop", "停机后的处理", "停機後的處理"]),
    ("category", ["Category", "类别", "類別"]),
    ("cause", ["Cause", "起因", "起因"]),
    ("channel", ["Channel", "来源渠道", "來源管道"]),
    ("checklist", ["Checklist", "检查表", "檢查表"]),
    ("code", ["Code", "编码", "編碼"]),
    ("confirm_by", ["Confirm by", "确认期限", "確認期限"]),
    ("coordinator_email", ["Coordinators' mailbox", "协调员邮箱", "協調員信箱"]),
    ("covers", ["Covers", "服务内容", "服務內容"]),
    ("description", ["Description", "内容", "內容"]),
    ("digest", ["Digest", "汇总", "彙總"]),
    ("due", ["Due", "期限", "期限"]),
    ("due_at_ms", ["Due", "期限", "期限"]),
    ("commitment", ["Commitment", "所属承诺", "所屬承諾"]),
    ("due_days", ["Days after which something is due", "到期天数", "到期天數"]),
    ("due_hours", ["Hours to answer", "办理时限（小时）", "辦理時限（小時）"]),
    ("email", ["Mailbox", "邮箱", "信箱"]),
    ("expires_at_ms", ["Counts as missed from", "逾此视为错过", "逾此視為錯過"]),
    ("expires_days", ["Days until it counts as missed", "几天后视为错过", "幾天後視為錯過"]),
    ("external_ref", ["Register key", "台账编号", "登錄編號"]),
    ("findings", ["Findings", "发现的问题", "發現的問題"]),
    ("follow_up", ["Does the follow-up", "完成的待办", "完成的待辦"]),
    ("from", ["From", "起始日", "起始日"]),
    ("gap_days_max", ["Longest gap, in days", "最长间隔（天）", "最長間隔（天）"]),
    ("goal", ["Goal", "目标", "目標"]),
    ("group", ["Group", "小组", "小組"]),
    ("label_en", ["In English", "英文", "英文"]),
    ("label_zh_hans", ["In Simplified Chinese", "简体中文", "簡體中文"]),
    ("label_zh_hant", ["In Traditional Chinese", "繁体中文", "繁體中文"]),
    ("latitude", ["Latitude", "纬度", "緯度"]),
    ("left", ["No longer with the team", "已离开团队", "已離開團隊"]),
    ("level", ["Level", "层级", "層級"]),
    ("longitude", ["Longitude", "经度", "經度"]),
    ("mandated", ["Required by law", "法定要求", "法定要求"]),
    ("media_type", ["Media type", "文件类型", "檔案類型"]),
    ("members", ["Members", "成员", "成員"]),
    ("name", ["Name", "名称", "名稱"]),
    ("note", ["Note", "备注", "備註"]),
    ("opens_at_ms", ["May be done from", "可开始时间", "可開始時間"]),
    ("opens_days", ["Days it may be early", "可提前天数", "可提前天數"]),
    ("organization", ["Partner", "协作单位", "協作單位"]),
    ("outcome", ["Outcome", "结果", "結果"]),
    ("parent", ["Within", "上级", "上級"]),
    ("phases", ["While it is young", "养护阶段", "養護階段"]),
    ("place", ["Place", "地点", "地點"]),
    ("purpose", ["Purpose", "目的", "目的"]),
    ("quantity", ["Quantity", "数量", "數量"]),
    ("questions", ["Questions", "检查项", "檢查項目"]),
    ("quiet_from", ["Quiet from", "免打扰起", "勿擾起"]),
    ("quiet_until", ["Quiet until", "免打扰止", "勿擾止"]),
    ("referred_to", ["Referred to", "承办单位", "承辦單位"]),
    ("resting", ["Switched off", "已暂停", "已暫停"]),
    ("resting_months", ["Months of rest", "休止月份", "休止月份"]),
    ("result", ["Result", "检查结果", "檢查結果"]),
    ("retired", ["No longer offered", "不再使用", "不再使用"]),
    ("role", ["For", "对象", "對象"]),
    ("rule", ["Rule", "规则", "規則"]),
    ("series", ["Series", "系列", "系列"]),
    ("sha256", ["Check sum", "校验和", "校驗和"]),
    ("since", ["Since", "始于", "始於"]),
    ("size_bytes", ["Size in bytes", "大小（字节）", "大小（位元組）"]),
    ("skill", ["Skill", "专长", "專長"]),
    ("sort", ["Sort", "种类", "種類"]),
    ("source", ["Follows from", "来源", "來源"]),
    ("stage", ["Before or after", "前后", "前後"]),
    ("steps", ["Who is told when", "提醒步骤", "提醒步驟"]),
    ("subject", ["About", "对象", "對象"]),
    ("supervisor_email", ["Supervisors' mailbox", "主管邮箱", "主管信箱"]),
    ("tasks", ["Tasks", "任务", "任務"]),
    ("time_zone", ["Time zone", "时区", "時區"]),
    ("unit", ["Unit", "单位", "單位"]),
    ("until", ["Until", "截止日", "截止日"]),
    ("version", ["Version", "版本", "版本"]),
    ("violation", ["Violation", "违规事项", "違規事項"]),
    ("visit", ["Raised in the visit", "提出时的走访", "提出時的走訪"]),
    ("vocabulary", ["Vocabulary", "词表", "詞表"]),
    ("web_hook", ["Web hook", "推送地址", "推送網址"]),
    ("word", ["Word", "词", "詞"]),
    ("worker", ["Worker", "工作人员", "工作人員"]),
];

/// Sorts of places, assets and partners, skills of groups, levels of areas.
const THINGS: Phrases = &[
    ("building", ["Building", "楼栋", "樓棟"]),
    ("entrance", ["Entrance", "单元", "出入口"]),
    ("dwelling", ["Dwelling", "住户房屋", "住戶"]),
    ("green_space", ["Green space", "绿地", "綠地"]),
    ("public_ground", ["Public ground", "公共场地", "公共場地"]),
    ("elevator", ["Elevator", "电梯", "電梯"]),
    ("tree", ["Tree", "树木", "樹木"]),
    ("bed", ["Bed", "花坛", "花圃"]),
    ("lawn", ["Lawn", "草坪", "草坪"]),
    ("pots", ["Pots", "盆栽", "盆栽"]),
    ("climbing_plants", ["Climbing plants", "攀援植物", "攀緣植物"]),
    ("pipe", ["Pipe", "管道", "管線"]),
    ("meter", ["Meter", "计量表", "計量表"]),
    ("heating_line", ["Heating line", "供暖管线", "供暖管線"]),
    ("bench", ["Bench", "长椅", "長椅"]),
    ("water", ["Water", "供水", "供水"]),
    ("power", ["Power", "供电", "供電"]),
    ("heating", ["Heating", "供暖", "供暖"]),
    ("elevator_maintenance", ["Elevator maintenance", "电梯维保", "電梯維保"]),
    ("property", ["Property management", "物业管理", "物業管理"]),
    ("housing", ["Housing office", "房管", "住宅管理"]),
    ("green", ["Greenery", "园林绿化", "園林綠化"]),
    ("enforcement", ["Enforcement", "执法", "執法"]),
    ("school", ["School", "学校", "學校"]),
    ("bank", ["Bank", "银行", "銀行"]),
    ("environment", ["Environment", "环境", "環境"]),
    ("medical", ["Medical", "医疗", "醫療"]),
    ("mediation", ["Mediation", "调解", "調解"]),
    ("hardship_support", ["Hardship support", "困难帮扶", "困難幫扶"]),
    ("safety", ["Safety", "治安", "治安"]),
    ("district", ["District", "城区", "行政區"]),
    ("sub_district", ["Sub-district", "街道", "次分區"]),
    ("community", ["Community", "社区", "社區"]),
    ("grid_cell", ["Grid cell", "网格", "網格"]),
    ("cell", ["Grid cell", "网格", "網格"]),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::Body;
    use crate::status::stages;

    #[test]
    fn every_stage_and_every_field_has_a_label_in_each_language() {
        for language in Language::ALL {
            for kind in Kind::ALL {
                for stage in stages(*kind).map_or(&[][..], |stages| stages.all) {
                    assert_ne!(language.stage(*kind, stage), *stage, "{kind:?} in {language:?}");
                }
                for field in Body::field_names(*kind) {
                    assert_ne!(language.field(field), *field, "{kind:?} in {language:?}");
                }
            }
        }
    }

    #[test]
    fn a_word_that_has_no_label_is_read_as_it_is() {
        assert_eq!(Language::TraditionalChinese.thing("fountain"), "fountain");
        assert_eq!(Language::SimplifiedChinese.stage(Kind::Visit, "open"), "open");
        assert_eq!(
            (Language::English.kinds(Kind::Policy), Language::English.kind(Kind::Visit)),
            ("Policies", "Visit")
        );
    }
}
