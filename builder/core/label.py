"""Labels: who or what speaks, before a colon at the beginning of a line ("Alex:", "Happy:", "**Response (joyful):**").

A colon stands within speech as well ("Two things: rest and food", "Listen: I'm serious"). A label is a name or a title: each of
its words has a capital, none only holds a sentence together, and a sentence of its own follows. A role is a label in any case.
Law of the file: what may be a label is of bounded length, so that time is linear in the text.
"""

import re

_ROLE = re.compile(
    r"(?:me|you)|(?:(?!(?:an?|the|my|your|his|her|our|their|this|that|one|no|any|every|current|best|real|short|long|only|honest)\b)"
    r"[\w'’-]+ ){0,2}"
    r"(?:LLM|speaker|person|friend|character|actor|voice|participant|party|partner|human|player|user|model|agent|(?:chat)?bot"
    r"|assistant|AI|system|narrator|interviewer|interviewee|role|emotion|feeling|mood|tone|response|reply|output|input|utterance"
    r"|answer|dialogue|dialog|chatgpt|gpt|claude|gemini|llama|qwen"
    r"|freund(?:in)?|antwort|benutzer(?:in)?|assistent(?:in)?|ami|amie|réponse|utilisateur|amig[oa]|respuesta|usuario|asistente"
    r"|risposta|utente|resposta|usuário|пользователь|ассистент|ответ|друг|подруга|المستخدم|المساعد|الرد|صديق|사용자|어시스턴트|친구|답변"
    r"|用户|用戶|助手|助理|回复|回覆|回答|朋友|系统|机器人|角色|说话人|情绪|情感|ユーザー|アシスタント|友人|友達|返答|返信|話者|感情)"
    r"[ _-]?#?(?:\d+|[a-d]|one|two|[一二三甲乙])?",
    re.IGNORECASE,
)
_WORDS = re.compile(r"[^\W\d_][\w'’.-]*(?: [\w'’.&-]+){0,3}")
_LINE = re.compile(
    r"^[ \t>\"“”'‘«„]*(?P<open>[*_#]{1,6}[ \t]?|[(\[（【［<]|[-•][ \t])?[\"“*_(\[]{0,3}"
    r"(?P<label>[^\W_][^\n:：()\[\]{}<>*_|`\"“”]{0,40}?)(?P<how>[ \t]?[(\[（][^()\[\]（）\n:：]{0,40}[)\]）])?"
    r"(?P<close>[ \t]?[*_)\]）】］>]{0,3})?[ \t]?[:：](?![/\d)(\\|]|[DPpO3]\b)(?P<closed>[*_]{0,3})(?P<gap>[ \t]*)"
    r"(?P<next>[\"“«„'*_¿¡(\[]*[^\s]?)",
    re.MULTILINE,
)
_HELD = frozenset(
    re.findall(
        r"\S+",
        """
    a an the my your his her its our their this that these those some any no every each all both few many several most more
    one two three four five six seven eight nine ten first second third next last another other i you he she it we they me
    him us them what who which where when why how of to in on at for from with by about as into like than and or but so if
    because is are was were be been am do does did have has had can could will would should may might must not here there
    now then just only also even still already never ever always too very quite rather let it's that's here's there's what's
    i'm i've i'll i'd you're we're they're he's she's don't can't won't isn't aren't
""",
    )
)
"""Words that hold a sentence together: a label has none."""
_SAID = frozenset(
    re.findall(
        r"\S+",
        """
    listen look remember imagine picture think wait note guess consider hear see check watch ok okay well oh ah hey hi hello
    dear yes yeah yep nope nah true fact fun question spoiler update confession bonus warning reminder plot breaking news
    hot bottom case verdict result results conclusion translation step day week rule lesson tip pro plan idea truth advice
    suggestion example problem solution goal mission moral thing favorite favourite worst better highlight ps p.s p.s. fyi
    tldr nb btw imo imho omg honestly seriously basically actually really finally frankly literally personally obviously
    clearly firstly secondly thirdly lastly plus maybe sorry thanks congrats congratulations trust believe mark promise deal
    challenge option choice status breakfast lunch dinner dessert monday tuesday wednesday thursday friday saturday sunday
    january february march april june july august september october november december today tomorrow tonight yesterday
    morning afternoon evening quote saying motto secret story theory reality reason reasons exhibit proof evidence point
    counterpoint upside downside irony funny same meanwhile score rating pros cons alternatively luckily sadly unfortunately
    fortunately long short big quick simple key ehrlich fakt frage tatsache écoute bref mira oye ascolta
""",
    )
)
"""Words that open what is said, before a colon of its own."""
_REMARK = re.compile(
    r"(?:note|word count|words?|explanation|context|disclaimer|edit|tone|translation)\b", re.IGNORECASE
)
_TITLE = re.compile(r"(?!I\b)[A-Z][\w'’]* (?!I\b)[A-Z]")
_ALONE = re.compile(
    r"^[ \t]*(?:#{1,6}[ \t]|(?:assistant|user|system|model|human)[ \t]*$)", re.MULTILINE | re.IGNORECASE
)
_OPEN = frozenset("\"“«„'¿¡*_([…")
_NAMED = re.compile(r"\bLLM\s?[12]\b")


def labelled(text: str) -> bool:
    """Whether a line is labelled, names a role and nothing else, or is a heading; or a speaker of the study's is named."""
    if _NAMED.search(text) or (("#" in text or "\n" in text) and _ALONE.search(text)):
        return True
    return (":" in text or "：" in text) and any(_is_label(text, line) for line in _LINE.finditer(text))


def _is_label(text: str, line: re.Match[str]) -> bool:
    label, set_apart = line["label"].strip(), bool(line["open"] and line["open"].strip(" \t-•"))
    if _ROLE.fullmatch(label):
        return bool(line["gap"] or line["closed"] or set_apart or not line["next"][-1:].islower())
    if line.start() and _REMARK.match(label):
        return True
    if len(label) == 1:
        return label.isupper() and label != "I" and bool(line["gap"])
    words = label.casefold().replace("’", "'").split()
    if not _WORDS.fullmatch(label) or words[0] in _SAID or not _HELD.isdisjoint(words):
        return False
    return set_apart or bool(line["how"]) or _is_title(text, line, label)


def _is_title(text: str, line: re.Match[str], label: str) -> bool:
    """Whether each of its words has a capital and a sentence follows that is no second half of a film's name."""
    follows = line["next"][-1:]
    return (
        all(word[0].isupper() or word.isdigit() for word in label.split())
        and bool(line["gap"] or line["closed"] or not follows)
        and (not follows or follows in _OPEN or (follows.isalpha() and not follows.islower()))
        and not _TITLE.match(text, line.end() - len(follows), line.end() + 60)
    )
