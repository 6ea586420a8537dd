//! Every text of the dashboard, in three languages side by side. What the domain names (kinds, stages, fields, words
//! of vocabularies) is in [`rounds_domain::Language`].

use rounds_domain::Language;

macro_rules! texts {
    ($($name:ident: $english:literal, $simplified:literal, $traditional:literal;)*) => {
        /// The texts of the dashboard in one language.
        #[derive(Debug)]
        pub(crate) struct Text {
            $(pub(crate) $name: &'static str),*
        }

        const TEXTS: [Text; 3] = [
            Text { $($name: $english),* },
            Text { $($name: $simplified),* },
            Text { $($name: $traditional),* },
        ];
    };
}

/// The texts in a language.
pub(crate) fn text(language: Language) -> &'static Text {
    let [english, simplified, traditional] = &TEXTS;
    language.of([english, simplified, traditional])
}

texts! {
    // The frame
    skip: "Skip to the content", "跳到正文", "跳至內容";
    pages: "Pages", "页面", "頁面";
    overview: "Overview", "总览", "總覽";
    follow_ups: "Follow-ups", "待办", "待辦";
    referrals: "Referrals", "转办", "轉辦";
    conflicts: "Conflicts", "冲突", "衝突";
    quarantine: "Quarantine", "待审", "待審";
    devices: "Devices", "设备", "裝置";
    jobs: "Jobs", "后台任务", "背景作業";
    area: "Area", "区域", "區域";
    all_areas: "All of my areas", "我的全部区域", "我的全部區域";
    language: "Language", "语言", "語言";
    sign_out: "Sign out", "退出", "登出";
    times_in: "Times in", "时区", "時區";
    live: "Live", "实时更新", "即時更新";
    not_live: "Not connected: trying again", "未连接，正在重试", "未連線，正在重試";
    news: "There is news. It is shown when you leave the field.", "有新内容，离开输入框后显示。", "有新內容，離開輸入欄後顯示。";

    // Sign-in
    sign_in: "Sign in", "登录", "登入";
    sign_in_lead: "Rounds knows devices, not passwords. Enter a one-time code to enrol this browser. A coordinator or administrator makes one, with \"Enrol a device\" or the command: rounds code.", "本系统识别设备，不用密码。请输入一次性注册码以注册此浏览器。注册码由协调员或管理员通过“注册设备”或命令 rounds code 生成。", "本系統辨識裝置，不用密碼。請輸入一次性註冊碼以註冊此瀏覽器。註冊碼由協調員或管理員透過「註冊裝置」或指令 rounds code 產生。";
    code: "One-time code", "一次性注册码", "一次性註冊碼";
    browser_label: "What this browser is called", "此浏览器的名称", "此瀏覽器的名稱";
    browser: "Browser", "浏览器", "瀏覽器";
    shared_computer: "On a computer that others use, sign out when you leave: the code is good once, the sign-in stays.", "在他人也使用的电脑上，离开时请退出：注册码仅一次有效，登录状态会保留。", "在他人也使用的電腦上，離開時請登出：註冊碼僅一次有效，登入狀態會保留。";
    code_invalid: "The code is unknown, was used before, or is past its time. Ask a coordinator for another.", "注册码无效、已被使用或已过期，请向协调员索取新的注册码。", "註冊碼無效、已被使用或已過期，請向協調員索取新的註冊碼。";
    label_unfit: "Give the browser a name of 1 to 200 characters.", "请为浏览器取一个 1 至 200 字的名称。", "請為瀏覽器取一個 1 至 200 字的名稱。";
    too_many_tries: "Too many codes were tried. Wait a minute, then try again.", "尝试次数过多，请一分钟后再试。", "嘗試次數過多，請一分鐘後再試。";
    not_for_partners: "Partners answer by the link in their mail, not here. The code is used up.", "协作单位请通过邮件中的链接答复，不在此登录。该注册码已失效。", "協作單位請透過郵件中的連結答覆，不在此登入。該註冊碼已失效。";
    signed_out: "You are signed out, and this browser is no longer enrolled.", "您已退出，此浏览器的注册已撤销。", "您已登出，此瀏覽器的註冊已撤銷。";
    revoked: "This browser was revoked. Enrol it again with another code.", "此浏览器已被停用，请用新的注册码重新注册。", "此瀏覽器已被停用，請用新的註冊碼重新註冊。";

    // What can go wrong
    not_found: "There is no such page, or it is not in your areas.", "没有此页面，或不在您的区域内。", "沒有此頁面，或不在您的區域內。";
    forbidden: "Your role does not allow this.", "您的角色无此权限。", "您的角色無此權限。";
    foreign_form: "This form did not come from this page, so it was not taken. Go back, load the page again and repeat it.", "此表单并非来自本页面，未被接收。请返回刷新页面后重试。", "此表單並非來自本頁面，未被接收。請返回重新整理頁面後重試。";
    unavailable: "This does not work at the moment. Please try again in a minute.", "暂时无法使用，请稍后再试。", "暫時無法使用，請稍後再試。";
    could_not: "This could not be done:", "未能完成：", "未能完成：";

    // What was done
    done_settled: "The conflict is settled.", "冲突已处理。", "衝突已處理。";
    done_changed_meanwhile: "The record changed meanwhile, so nothing was done. Look again.", "记录已有变化，未作处理，请重新查看。", "記錄已有變化，未作處理，請重新查看。";
    done_released: "The op was taken in.", "操作已接收。", "操作已接收。";
    done_dismissed: "The op was laid aside.", "操作已搁置。", "操作已擱置。";
    done_revoked: "The device is revoked.", "设备已停用。", "裝置已停用。";
    done_retried: "It starts anew.", "已重新开始。", "已重新開始。";
    done_dropped: "The job was dropped.", "任务已丢弃。", "作業已捨棄。";
    done_paused: "Jobs of this kind are paused.", "此类任务已暂停。", "此類作業已暫停。";
    done_resumed: "Jobs of this kind are started again.", "此类任务已恢复。", "此類作業已恢復。";
    done_nothing: "It was not there any more: somebody else may have been faster.", "该项已不存在，可能已由他人处理。", "該項已不存在，可能已由他人處理。";

    // The overview
    attention: "Needs attention", "需要关注", "需要關注";
    overdue_follow_ups: "Overdue follow-ups", "逾期待办", "逾期待辦";
    due_today: "Due today", "今日到期", "今日到期";
    missed_month: "Missed this month", "本月错过", "本月錯過";
    overdue_referrals: "Overdue referrals", "逾期转办", "逾期轉辦";
    conflicts_open: "Conflicts to settle", "待处理冲突", "待處理衝突";
    quarantine_open: "Ops in quarantine", "待审操作", "待審操作";
    silent_devices: "Silent devices", "失联设备", "失聯裝置";
    dead_jobs: "Jobs given up", "已放弃的任务", "已放棄的作業";
    failing_deliveries: "Messages that do not arrive", "未能送达的消息", "未能送達的訊息";
    days_without_contact: "no contact for 3 days", "3 天未联系", "3 天未聯絡";

    // Figures
    figures: "Figures", "统计", "統計";
    a_day: "Day", "日", "日";
    a_week: "Week", "周", "週";
    a_month: "Month", "月", "月";
    a_quarter: "Quarter", "季", "季";
    a_year: "Year", "年", "年";
    compared_with: "Compared with", "对比", "對比";
    by_area: "By area", "按区域", "按區域";
    visits: "Visits", "走访次数", "走訪次數";
    reached: "Dwellings reached", "住户见到率", "住戶見到率";
    within_gap: "In time by law", "法定期限内", "法定期限內";
    done_on_time: "Done on time", "按时完成率", "按時完成率";
    download: "Download", "下载", "下載";
    these_figures: "These figures", "以上统计", "以上統計";
    the_brief: "Brief", "简报", "簡報";
    visits_over_time: "Visits over time", "走访趋势", "走訪趨勢";
    requests_over_time: "Requests over time", "诉求趋势", "訴求趨勢";
    violations_over_time: "Violations over time", "违规趋势", "違規趨勢";
    figure: "Figure", "指标", "指標";
    this_period: "Now", "本期", "本期";
    change: "Change", "变化", "變化";
    share: "Share", "占比", "佔比";
    took: "Time it took", "用时", "用時";
    cases: "Cases", "件数", "件數";
    median: "Median", "中位数", "中位數";
    nine_in_ten: "9 in 10 within", "九成不超过", "九成不超過";
    commitments: "Commitments", "承诺事项", "承諾事項";
    goal: "Goal", "目标", "目標";
    done_so_far: "Done", "已完成", "已完成";
    promised: "Promised", "承诺", "承諾";
    recorded: "Recorded", "记录时间", "記錄時間";

    // Lists
    none: "There is nothing here.", "暂无内容。", "暫無內容。";
    more: "Next page", "下一页", "下一頁";
    all: "All", "全部", "全部";
    show: "Show", "显示", "顯示";
    actions: "Actions", "操作", "操作";
    and_more: "more", "项未显示", "項未顯示";
    what: "What", "内容", "內容";
    whom: "Responsible", "负责", "負責";
    place: "Place", "地点", "地點";
    stage: "Stage", "状态", "狀態";
    due: "Due", "期限", "期限";
    overdue: "Overdue", "逾期", "逾期";
    not_visible: "not in your areas", "不在您的区域内", "不在您的區域內";
    yes: "Yes", "是", "是";
    no: "No", "否", "否";
    empty: "empty", "空", "空";

    // Follow-ups
    month: "Month", "月", "月";
    week: "Week", "周", "週";
    today: "Today", "今天", "今天";
    earlier: "Earlier", "之前", "之前";
    later: "Later", "之后", "之後";
    open: "Open", "待完成", "待完成";
    done: "Done", "已完成", "已完成";
    missed: "Missed", "已错过", "已錯過";
    cancelled: "Cancelled", "已取消", "已取消";
    sort: "Sort", "种类", "種類";
    whole_period: "The whole period", "整个时段", "整個時段";
    calendar: "Calendar", "日历", "日曆";
    monday: "Mon", "一", "一";
    tuesday: "Tue", "二", "二";
    wednesday: "Wed", "三", "三";
    thursday: "Thu", "四", "四";
    friday: "Fri", "五", "五";
    saturday: "Sat", "六", "六";
    sunday: "Sun", "日", "日";

    // A record
    says: "What it says", "内容", "內容";
    history: "History", "历史", "歷史";
    history_lead: "In the order that counts, newest first.", "按生效顺序排列，最新在前。", "依生效順序排列，最新在前。";
    happened: "Happened", "发生", "發生";
    received: "Received", "收到", "收到";
    clock_doubt: "clock in doubt", "时钟存疑", "時鐘存疑";
    on_arrival: "On arrival", "到达时", "到達時";
    now: "Today", "目前", "目前";
    created: "Recorded", "登记", "登記";
    edited: "Changed", "修改", "修改";
    amended: "Amended", "更正", "更正";
    stepped: "Went to", "转为", "轉為";
    moved: "Moved to", "移至", "移至";
    deleted: "Deleted", "删除", "刪除";
    settled: "Conflicts settled", "处理冲突", "處理衝突";
    content_gone: "What it said is not told any more.", "内容不再显示。", "內容不再顯示。";
    this_is_deleted: "This record was deleted:", "此记录已删除：", "此記錄已刪除：";
    reason: "Reason", "原因", "原因";
    was: "was", "原为", "原為";
    contact: "Contact", "联系方式", "聯絡方式";
    contact_lead: "For whoever handles this request. That you looked is on record. It is erased some days after closing.", "仅供办理此诉求的人员查看，查看会留下记录；办结数日后自动清除。", "僅供辦理此訴求的人員檢視，檢視會留下記錄；辦結數日後自動清除。";
    contact_name: "Name", "姓名", "姓名";
    contact_phone: "Phone", "电话", "電話";
    show_contact: "Show contact", "显示联系方式", "顯示聯絡方式";
    not_applied: "Steps that did not apply", "未生效的步骤", "未生效的步驟";
    amendments: "Amendments", "更正记录", "更正記錄";
    disputes: "Conflicts", "冲突", "衝突";
    linked: "Linked records", "关联记录", "關聯記錄";
    wanted_when: "asked for", "要求转为", "要求轉為";
    when_it_was: "when it was", "当时状态", "當時狀態";
    evidence: "Evidence", "依据", "依據";

    // Conflicts
    conflicts_lead: "Two people changed the same without knowing of each other, or a step was not allowed at its place. Nothing is lost: choose what holds.", "两人在互不知情时修改了同一内容，或某一步骤当时不被允许。内容均已保留，请选择以何者为准。", "兩人在互不知情時修改了同一內容，或某一步驟當時不被允許。內容均已保留，請選擇以何者為準。";
    holds_now: "Holds now", "现用值", "現用值";
    other_value: "The other value", "另一个值", "另一個值";
    keep: "Keep it", "保留现用值", "保留現用值";
    take_other: "Take the other", "改用另一个值", "改用另一個值";
    settle: "Settle it", "确认处理", "確認處理";
    noted: "Seen, nothing to do", "已阅，无需处理", "已閱，無需處理";
    reason_hint: "Needed where a fact or a plan's rule changes", "更正事实或计划规则时必填", "更正事實或計畫規則時必填";

    // Quarantine
    quarantine_lead: "What could not be taken in as it was. It is kept whole: take it in after all, mend it, or lay it aside.", "未能按原样接收的操作，均完整保留：可照原样接收、修正后接收或搁置。", "未能按原樣接收的操作，均完整保留：可照原樣接收、修正後接收或擱置。";
    why: "Why", "原因", "原因";
    device: "Device", "设备", "裝置";
    look: "Look", "查看", "查看";
    release: "Take it in as it is", "照原样接收", "照原樣接收";
    release_lead: "Your role and areas count, not those of the author. It takes its place at the time it was recorded.", "以您的角色和区域为准，而非记录者的。操作按其记录时间生效。", "以您的角色和區域為準，而非記錄者的。操作依其記錄時間生效。";
    dismiss: "Lay it aside", "搁置", "擱置";
    dismiss_lead: "It takes no effect, and stays on record.", "不会生效，但仍留存。", "不會生效，但仍留存。";
    mend: "Mend it", "修正", "修正";
    mend_lead: "The op as JSON. Change what is wrong, then take it in.", "操作内容（JSON）。修改有误之处后接收。", "操作內容（JSON）。修改有誤之處後接收。";
    take_mended: "Take it in as mended", "按修正后接收", "依修正後接收";
    bytes: "Its bytes, which are no op", "原始字节，无法识别", "原始位元組，無法辨識";
    still_waits: "It cannot be taken in yet:", "仍无法接收：", "仍無法接收：";

    // Devices
    enrol: "Enrol a device", "注册设备", "註冊裝置";
    enrol_lead: "Makes a one-time code. Whoever enters it gets this role for these areas.", "生成一次性注册码。使用者将获得以下角色和区域。", "產生一次性註冊碼。使用者將獲得以下角色和區域。";
    role: "Role", "角色", "角色";
    areas: "Areas", "区域", "區域";
    areas_hint: "Each with all below it. None for an administrator, who has all.", "每个区域包含其下级。管理员拥有全部区域，无需选择。", "每個區域包含其下級。管理員擁有全部區域，無需選擇。";
    worker: "Worker", "工作人员", "工作人員";
    organization: "Partner", "协作单位", "協作單位";
    organization_hint: "Only for the role Partner", "仅用于协作单位角色", "僅用於協作單位角色";
    not_all_listed: "There are too many workers or organizations to list them all. For one that is missing, make the code with the command rounds code.", "人员或单位过多，未能全部列出。如未找到，请使用命令 rounds code 生成注册码。", "人員或單位過多，未能全部列出。如未找到，請使用命令 rounds code 產生註冊碼。";
    nobody: "Nobody in particular", "不指定", "不指定";
    make_code: "Make a code", "生成注册码", "產生註冊碼";
    code_made: "The code", "注册码", "註冊碼";
    code_once: "It is shown once, and good once, until", "仅显示一次，一次有效，有效期至", "僅顯示一次，一次有效，有效期至";
    qr: "The code as a QR code", "注册码二维码", "註冊碼 QR 碼";
    last_contact: "Last contact", "最近联系", "最近聯絡";
    never: "never", "从未", "從未";
    ago_before: "", "", "";
    ago_after: " ago", "前", "前";
    unsent: "Unsent ops", "未发送操作", "未傳送操作";
    standing: "Standing", "状态", "狀態";
    standing_good: "In order", "正常", "正常";
    standing_silent: "Silent", "失联", "失聯";
    standing_revoked: "Revoked", "已停用", "已停用";
    standing_copy: "A copy of another phone", "另一部手机的副本", "另一部手機的副本";
    standing_copied: "A copy of it sent other ops", "其副本发送了其他操作", "其副本傳送了其他操作";
    standing_lost: "Ops lost with a restore", "恢复备份时丢失操作", "還原備份時遺失操作";
    this_browser: "this browser", "本浏览器", "本瀏覽器";
    revoke: "Revoke", "停用", "停用";
    revoke_lead: "At its next contact it wipes itself. What it did not send yet goes to quarantine. There is no way back but to enrol it again.", "设备下次联系时将清除数据，未发送的操作进入待审。停用后只能重新注册。", "裝置下次聯絡時將清除資料，未傳送的操作進入待審。停用後只能重新註冊。";
    everywhere: "everywhere", "全部", "全部";

    // Jobs
    by_kind: "By kind", "按类型", "依類型";
    kind: "Kind", "类型", "類型";
    waiting: "Waiting", "等待", "等待";
    paused: "Paused", "暂停", "暫停";
    running: "Running", "进行中", "進行中";
    dead: "Given up", "已放弃", "已放棄";
    job_look: "Look at what changed", "查看变化", "查看變化";
    job_wake: "Look again in time", "到期再查", "到期再查";
    job_deliver: "Send a message", "发送消息", "傳送訊息";
    job_unreadable: "Unreadable", "无法识别", "無法辨識";
    pause: "Pause", "暂停", "暫停";
    resume: "Resume", "恢复", "恢復";
    paused_since: "paused since", "暂停自", "暫停自";
    dead_letters: "Given up", "已放弃", "已放棄";
    dead_lead: "Tried five times. When the reason is mended, let it start anew. Drop it only if what it asks for is not wanted any more.", "已尝试五次。排除原因后可重新开始；仅在不再需要时丢弃。", "已嘗試五次。排除原因後可重新開始；僅在不再需要時捨棄。";
    retry: "Retry", "重试", "重試";
    retry_all: "Retry all", "全部重试", "全部重試";
    drop_job: "Drop", "丢弃", "捨棄";
    starts: "Starts", "启动次数", "啟動次數";
    given_up_at: "Given up", "放弃时间", "放棄時間";
    about: "About", "关于", "關於";
    deliveries: "Messages that do not arrive", "未能送达的消息", "未能送達的訊息";
    deliveries_lead: "Failing ones are tried again by themselves, failed ones were given up.", "发送失败的会自动重试；已放弃的不再重试。", "傳送失敗的會自動重試；已放棄的不再重試。";
    address: "Address", "地址", "地址";
    tries: "Tries", "尝试次数", "嘗試次數";
    next_try: "Next try", "下次重试", "下次重試";
    delivery_failing: "Failing", "发送失败", "傳送失敗";
    delivery_failed: "Given up", "已放弃", "已放棄";
    by_email: "Mail", "邮件", "郵件";
    by_web_hook: "Web hook", "接口推送", "網路回呼";

    // Referrals
    referrals_lead: "Requests that are with partners now. The clocks say how long each has had it, all in all.", "目前由协作单位办理的诉求，以及各方累计持有时长。", "目前由協作單位辦理的訴求，以及各方累計持有時長。";
    requests: "Requests", "诉求", "訴求";
    with_team: "Team", "团队", "團隊";
    with_partner: "Partner", "承办单位", "承辦單位";
    with_others: "Others", "其他单位", "其他單位";
    late: "late", "逾期", "逾期";
    only_overdue: "Only overdue", "仅逾期", "僅逾期";
}
