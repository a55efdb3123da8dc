"""Questions of no route at all: what is no nearer to a route than to these is asked everywhere.

Likeness alone has no zero: an embedder that knows no Chinese finds all Chinese questions alike. Compared with these, a
score means the same in every language and for every embedder.
"""

from __future__ import annotations

ELSEWHERE = (
    "What is the weather like today?", "Who discovered America?", "How do I boil an egg?",
    "What is the population of India?", "Which film won the Oscar?", "How far away is the sun?",
    "What is the best way to learn a language?", "When was the printing press invented?", "Why is the sky blue?",
    "How do I grow tomatoes?", "What does this word mean?", "Who is the queen of Denmark?",
    "Where can I buy cheap shoes?", "How does an engine work?", "What is the square root of 144?",
    "Which animals sleep in winter?", "How do I remove a stain from a shirt?", "What is the capital of Canada?",
    "Who plays the main role in the series?", "How old is the universe?", "What are the rules of chess?",
    "Where is the nearest petrol station?", "What is the story of the novel about?", "How do I draw a horse?",
    "今天天气怎么样？", "谁发现了美洲？", "怎么煮鸡蛋？", "印度有多少人口？", "哪部电影得了奖？", "太阳离我们有多远？",
    "怎样学好一门外语？", "印刷术是什么时候发明的？", "天空为什么是蓝色的？", "怎么种西红柿？", "这个词是什么意思？",
    "丹麦的女王是谁？", "哪里能买到便宜的鞋？", "发动机是怎么工作的？", "加拿大的首都是哪里？", "哪些动物会冬眠？",
    "衣服上的污渍怎么去掉？", "这部小说讲了什么？", "象棋的规则是什么？", "最近的加油站在哪里？", "怎么画一匹马？",
    "宇宙有多少岁？", "哪种水果维生素最多？", "谁是这部剧的主角？",
)  # fmt: skip
