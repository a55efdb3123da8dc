"""Chinese words that exclude one another: who founded a company did not by that buy it, and a father is no mother.

Written for this project, in simplified characters. Each line of `_GROUPS` holds words that fit the same place in a
question and of which one hardly ever follows from another; words joined by a slash say the same.
"""

from __future__ import annotations

_GROUPS = """
创立/创办/创建 收购/并购 出售/卖掉 起诉/控告 审计 资助/赞助 解散 改组 代理
创始人/创办人/创立者 总经理/总裁/首席执行官 董事长 财务总监 发言人 大股东 法律顾问 审计师 销售主管
成立 解散 上市 破产 改名/更名 搬迁 合并 停业
发明 购买 禁止 偷走 试验 资助 推广 命名
发现 拍摄 测量 记录 预言 命名 研究 保护
撰写/写了 翻译 编辑 出版 评论 朗读 改编 抄写
作者 译者/翻译者 主编 插画师 出版商/出版社 审稿人 朗读者 书评人
导演 编剧 制片人 主演/主角 摄影师 配乐者/作曲者 剪辑师 配音演员
作曲 作词 演唱 编曲 录音 翻唱
建造/修建 设计 捐资 拆除 修复/修缮 出租 烧毁 买下 落成
建筑师/设计师 承建商 业主 捐资人 住户 管理员 拆除者
开工/动工 竣工/完工/建成 通车/启用 关闭 拆除 扩建 大修
出生 去世/逝世/病逝 结婚 毕业 入学 退休 被捕 出家 移民
出生地 墓地 毕业学校 故居 任职地点
生日 忌日 结婚纪念日
登基/即位/继位 退位 被俘 驾崩 大婚 亲政
父亲 母亲 妻子/夫人 丈夫 儿子 女儿 祖父 老师 学生/弟子 哥哥 弟弟 妹妹 朋友 秘书
击败/打败 败给/输给 战平 缺席 抗议
冠军 亚军 季军 最后一名 裁判 主教练/教练 队长 守门员
获胜/取胜 落败/失利 弃权 平局
占领/攻占 撤离 收复 围攻 防守 割让 租借
进攻 防守 投降 撤退 求和 增援
签署/签订 拒绝 修改/修订 废除 起草 违反 批准
颁布 废止 修订 起草 反对 解释
任命 罢免/撤职 选举 推荐 弹劾 暗杀 接替
支持 反对 忽视 调查 资助
首都/国都 最大城市 最大港口 旧都 最北端
总部 分公司 工厂 仓库 实验室 发源地
面积 人口 海拔 人口密度 年降水量 平均气温 耕地面积
长度/全长 宽度 高度 深度 厚度 重量 直径
身高 体重 年龄 血型 臂展
价格/售价 成本 运费 押金/保证金 罚款/罚金 折扣 税率 手续费
租金 押金 物业费 水费 违约金 装修费
营业收入/营业额 净利润 亏损 负债 研发支出 广告费 现金流 总资产
工资/月薪 奖金 加班费 退休金 住房补贴 差旅费
年假 病假 事假 产假 婚假 陪产假
保修期 退货期/退货期限 交货期 试用期 有效期 付款期限
研发人员 销售人员 管理人员 生产人员 实习生 临时工
学生 教师 校友 旁听生 保安 志愿者
员工/职工 顾客/客户 股东 供应商 门店 董事
常规 夜间 周末 节假日 紧急
开放时间/营业时间 闭馆时间 检修时间 集合时间 出发时间 到达时间
起点 终点 中点 换乘站 补给站
原料/材料 产地 产量 用途 颜色 味道 包装
成分 剂量/用量 副作用 储存温度 保质期 价格
症状 病因 疗法/治疗方法 传播途径 潜伏期 死亡率 预防方法
主食/食物 天敌 栖息地/栖息 寿命 学名 孵化期
电池容量 屏幕尺寸 重量 内存 充电时间 续航时间
第一章 第二章 第三章 最后一章 附录
首播 重播 停播 开拍 杀青 上映
电话 传真 地址 邮箱 网址
船长 大副 乘客 船东 造船厂
校长 教务长 创校人 班主任 校董
"""

_OPPOSITES = """
最大 最小; 最高 最低; 最长 最短; 最多 最少; 最早 最晚; 最快 最慢; 最好 最差; 最重 最轻; 最深 最浅
最近 最远; 最新 最旧; 第一次 最后一次; 第一个 最后一个; 第一位 最后一位; 首次 最后一次; 首位 末位; 前者 后者; 之前 之后
以前 以后; 上半年 下半年; 上午 下午; 早期 晚期; 年初 年末; 增加 减少; 上升 下降; 提高 降低; 扩大 缩小
加快 减慢; 增长 下跌; 开始 结束; 开幕 闭幕; 打开 关闭; 进入 离开; 加入 退出; 支持 反对; 允许 禁止
成功 失败; 胜利 失败; 接受 拒绝; 优点 缺点; 优势 劣势; 有利 不利; 安全 危险; 合法 非法; 强制 自愿
进口 出口; 收入 支出; 买入 卖出; 借出 归还; 盈利 亏损; 上行 下行; 内部 外部; 国内 国外; 城市 农村
室内 室外; 公立 私立; 东部 西部; 南部 北部; 东侧 西侧; 南侧 北侧; 东面 西面; 南面 北面; 左侧 右侧
上层 下层; 上游 下游; 东南 西北; 东北 西南; 男性 女性; 男子 女子; 男孩 女孩; 父系 母系; 成年人 未成年人
老人 儿童; 丈夫 妻子; 父亲 母亲; 儿子 女儿; 高于 低于; 多于 少于; 超过 不足; 至少 至多; 早于 晚于
大于 小于; 以上 以下; 以内 以外; 主要 次要; 直接 间接; 永久 临时
"""

_NEGATED = """
属于 不属于; 包括 不包括; 包含 不包含; 使用 不使用; 需要 不需要; 可以 不可以
能够 不能; 适用 不适用; 参加 没有参加; 参与 没有参与; 获得 没有获得; 出版 没有出版
发现 没有发现; 允许 不允许; 担任 没有担任; 加入 没有加入; 支持 不支持; 同意 不同意
位于 不位于; 提供 不提供; 喜欢 不喜欢; 得到 没有得到; 参选 没有参选; 完成 没有完成
通过 没有通过; 经过 不经过; 认为 不认为; 建立 没有建立; 导致 没有导致; 引起 没有引起
成为 没有成为; 播出 没有播出; 赢得 没有赢得; 发表 没有发表; 创作 没有创作; 影响 没有影响
"""


def _exclusive() -> dict[str, tuple[tuple[str, ...], ...]]:
    found: dict[str, tuple[tuple[str, ...], ...]] = {}
    for line in _GROUPS.strip().splitlines():
        meanings = [tuple(meaning.split("/")) for meaning in line.split()]
        for meaning in meanings:
            others = tuple(word for other in meanings if other is not meaning for word in other)
            for word in meaning:
                found[word] = (*found.get(word, ()), others)
    return found


def _pairs(text: str) -> list[tuple[str, str]]:
    words = [part.split() for line in text.strip().splitlines() for part in line.split(";")]
    return [(first, second) for first, second in words]


EXCLUSIVE_ZH = _exclusive()
"""Word → for each group that it is in, the words that exclude it."""
OPPOSITES_ZH = {**{second: first for first, second in _pairs(_OPPOSITES)}, **dict(_pairs(_OPPOSITES))}
"""Word → its opposite, both ways."""
NEGATED_ZH = dict(_pairs(_NEGATED))
"""Verb → its negation."""
