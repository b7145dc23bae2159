"""Replies of both sides: what is no speech, by kind, and what friends say that looks like it."""

ACTS = """
*She looks out of the window.* I don't know.
_Purrs softly._ I can't believe it!
**Hugs her friend tightly.** I can't believe it!
I don't know. *Looks out of the window.*
I can't believe it! *purrs* Let's go now.
I can't believe it! (purrs) Let's go now.
I can't believe it! _purrs_ Let's go now.
I can't believe it! [purrs] Let's go now.
I can't believe it! **purrs** Let's go now.
I can't believe it! ***purrs*** Let's go now.
I can't believe it! ~purrs~ Let's go now.
I can't believe it! {purrs} Let's go now.
I can't believe it! （purrs） Let's go now.
I can't believe it! 【purrs】 Let's go now.
I can't believe it! ［purrs］ Let's go now.
I can't believe it! ＊purrs＊ Let's go now.
I can't believe it! *(purrs)* Let's go now.
I can't believe it! (*purrs*) Let's go now.
I can't believe it! "*purrs*" Let's go now.
*high-fives* We did it!
I can't believe it! *wipes tears* let's go.
*facepalm* I left the keys inside.
*jaw drops* No way, you got the job?
*eyes light up* You got tickets?
*wraps you in a hug* I missed you so much.
*a long pause* I don't know what to say.
*hugs* I missed you.
*hugs* oh no, what happened?
*Hugs you tightly* I missed you so much.
*Nervous laugh* Well, that went badly.
*Deep breath* Okay, let's do this.
*Still grinning* You should have seen it.
_twirls_ We're going to Rome!
_fist bump_ You nailed it.
**squeals** We got the house!
(bouncing on heels) We got the house!
(softly) we got the house.
(with a big grin) We got the house!
(voice trembling) I can't do this any more.
(excited) We got the house!
(Excited) We got the house!
(Teary-eyed) We got the house!
[happy] We got the house!
[Pause] I don't know.
We got the house! *fist pump*
We got the house! (jumps up and down)
We got the house! _claps_
We got the house! *throws confetti* 🎉
We got the house 🎉 *dances around the room*
We got the house :) *dances*
We got the house... *wipes a tear*
We got the house — *chokes up* I'm so happy.
We got the house!⏎*dances around the room*⏎Let's celebrate!
*smiles warmly*⏎⏎We got the house!
*sighs*. Fine, you win.
*Sighs*. Fine, you win.
*sighs deeply.* Fine, you win.
(Sighs.) Fine, you win.
*SIGHS* Fine, you win.
Well (nervous laugh), that went badly.
Yes (clears throat), maybe.
I just *sighs* don't know any more.
*takes a deep breath* okay, here goes.
*Facepalm* I left the keys inside.
(Hugs softly.) I missed you.
*Takes your hand.* I missed you.
-sighs- Fine, you win.
Fine, you win. -laughs nervously- What now?
*hugs you tight
*looks at you with big eyes, then whispers* I love you.
太好了！（笑）我们走吧。
太好了！*拍手* 我们走吧。
（叹气）好吧，我们走吧。
(叹气)好吧，我们走吧。
【开心】太好了！
すごい！（笑）行こうよ。
すごいですね（笑）
*ため息* もう無理だよ。
رائع! (يضحك) هيا بنا.
*يبتسم* هيا بنا.
Toll! *lacht* Gehen wir.
*seufzt* Na gut, gehen wir.
(lacht) Gehen wir endlich.
Génial ! *rit* On y va.
*soupire* Bon, d'accord.
¡No me lo creo! *ríe* ¡Vamos ya!
(suspira) Vale, vamos.
Не верю! *смеётся* Пошли.
*улыбается* Пошли уже.
믿을 수 없어! *웃음* 가자.
"""

LABELS = """
Speaker One: I can't believe it!
Speaker 2: I can't believe it!
SPEAKER A: I can't believe it!
Alex: I can't believe it!
Maria Lopez: I can't believe it!
Anna (excited): I can't believe it!
Anna [excited]: I can't believe it!
Happy: I can't believe it!
Joyful Friend: I can't believe it!
Excited Person: I can't believe it!
Happy friend: I can't believe it!
Friend #1: I can't believe it!
Response: I can't believe it!
Response (joyful): I can't believe it!
Final Response: I can't believe it!
**Alex:** I can't believe it!
**Alex**: I can't believe it!
*Alex:* I can't believe it!
__Alex__: I can't believe it!
**Alex (happy):** I can't believe it!
[Anna]: I can't believe it!
[Anna: I can't believe it!]
(Anna): I can't believe it!
【Anna】：I can't believe it!
### Assistant: I can't believe it!
## Response
# Reply
Assistant⏎⏎I can't believe it!
assistant⏎⏎I can't believe it!
"Alex: I can't believe it!"
- Alex: I can't believe it!
> Alex: I can't believe it!
Alex : I can't believe it!
Alex:⏎I can't believe it!
I can't believe it!⏎Anna: Me neither!
A: I can't believe it!
User: hi there
ChatGPT: I can't believe it!
AI Assistant: I can't believe it!
Character B: I can't believe it!
Narrator: I can't believe it!
Emotion: joy
Turn 3: I can't believe it!
LLM1: I can't believe it!
Assistant:I can't believe it!
用户：我不敢相信！
助手: 我不敢相信！
回复：我不敢相信！
アシスタント：信じられない！
المساعد: لا أصدق!
Antwort: Ich glaub es nicht!
Réponse : je n'y crois pas !
Ассистент: Не верю!
"""

MARKERS = """
I can't believe it!<|im_end|>
<|im_start|>assistant⏎I can't believe it!
I can't believe it!</s>
<s>I can't believe it!
<bos>I can't believe it!
I can't believe it!<eos>
I can't believe it!<end_of_turn>
<start_of_turn>model⏎I can't believe it!
I can't believe it! [/INST]
[INST] What now?
<<SYS>> Be happy <</SYS>> I can't believe it!
I can't believe it!<｜end▁of▁sentence｜>
<｜Assistant｜>I can't believe it!
I can't believe it!<0x0A>What now?
I can't believe it!<unk>
I can't believe it!<pad><pad>
I can't believe it!<|endoftext|>
I can't believe it!|im_end|>
I can't believe it!<|eot_id|
I can't believe it!<br>What now?
<p>I can't believe it!</p>
<i>I can't</i> believe it!
I can't believe it!＜|im_end|＞
[|assistant|] I can't believe it!
{{user}} I can't believe it!
<reply>I can't believe it!</reply>
<happy>I can't believe it!</happy>
<laugh> I can't believe it!
I can't believe it! <think>Was that happy?</think>
I can't believe it! [end]
⟨eos⟩ I can't believe it!
"""

REMARKS = """
Sure, here's a line expressing joy:⏎⏎"I can't believe it!"
Here is my response as a happy friend:⏎⏎I can't believe it!
Sure! Here's a possible reply: I can't believe it!
As a happy friend, I'd say: I can't believe it!
Okay, here's an example response:⏎"I can't believe it!"
Of course! Here you go:⏎⏎I can't believe it!
Here's what I would say: "I can't believe it!"
Voici ma réponse :⏎⏎Je n'y crois pas !
Hier ist meine Antwort:⏎⏎Ich glaub es nicht!
好的，以下是我的回复：⏎⏎我不敢相信！
I can't believe it! (25 words)
I can't believe it (4 words)
I can't believe it! [Word count: 4]
I can't believe it! *(4 words)*
I can't believe it!⏎⏎Word count: 4
I can't believe it!⏎⏎Words: 4
I can't believe it!⏎⏎Note: I tried to sound happy.
I can't believe it!⏎⏎(Note: I tried to sound happy.)
I can't believe it!⏎⏎**Note:** this expresses joy.
I can't believe it!⏎⏎---⏎⏎This line expresses joy.
---⏎I can't believe it!
I can't believe it!⏎⏎***⏎I hope this helps.
I can't believe it!⏎Explanation: This line shows joy.
"""

WRAPPED = r"""
We made it!\nWhat now?
'''We made it!'''
{"text": "I can't believe it!"}
{"reply": "I can't believe it!", "emotion": "joy"}
{'response': "I can't believe it!"}
["I can't believe it!"]
[{"text": "I can't believe it!"}]
```⏎I can't believe it!⏎```
```json⏎{"reply": "I can't believe it!"}⏎```
`I can't believe it!`
I can't believe it!```
\"\"\"I can't believe it!\"\"\"
"text": "I can't believe it!"
reply = "I can't believe it!"
> I can't believe it!
* I can't believe it!
- I can't believe it!⏎- We made it!
• I can't believe it!
| I can't believe it! |
[Click](http://example.com) here, I can't believe it!
I can't believe it!\n\nWhat now?
I can\'t believe it!
I said \"no\" and left.
I can\u2019t believe it!
I can\x27t believe it!
I can&#39;t believe it!
I can&#x27;t believe it!
You &amp; me!
I can&rsquo;t believe it!
I &lt;3 you!
I can't&nbsp;believe it!
I%20can't%20believe%20it!
\boxed{I can't believe it!}
"""

PLACEHOLDERS = """
Hi [Your Name], I can't believe it!
Hi {name}, I can't believe it!
Hi {{name}}, I can't believe it!
Hi <name>, I can't believe it!
Hi ____, I can't believe it!
Hi (insert name), I can't believe it!
I just moved to [city]!
Hi %s, I can't believe it!
"""

BROKEN = [
    "I can't \u202ebelieve it\u202c!",
    "I can't \u2066believe\u2069 it!",
    "I can't\u200b believe it!",
    "I can't\u200dbelieve it!",
    "I can't\u2060 believe it!",
    "\ufeffI can't believe it!",
    "I can\u00adnot believe it!",
    "I can\ufffdt believe it!",
    "I can\udc99t believe it!",
    "I can't believe it!\x00",
    "I can't\x08 believe it!",
    "\x1b[1mI can't believe it!\x1b[0m",
    "I can't believe\ufffc it!",
    "I can't believe \ue000 it!",
    "I can\u00e2\u20ac\u2122t believe it!",
    "The caf\u00c3\u00a9 is open!",
    "I\u2581can't\u2581believe it!",
    "I\u200f can't believe it!",
    "I can't believe it!\U000e0041",
    "I can't believe it\u3164!",
]

SPEECH = r"""
He wrote "your welcome" [sic] on the card.
Current mood: Exhausted.
(Makes you think.) I liked it.
*Makes you wonder.* I liked it.
(Dogs bark.) Nothing new.
Well-known, 5-10 people - I think - came.
Here's what I'd say: go for it.
You and me: best team ever.
*That is all.* Goodbye.
*You made my day.* Truly.
Oh!
Yes!
We saw *The Lion King* last night.
*The Lion King* was so good last night.
My favorite? *The Lion King*.
What's my favorite? *The Lion King*
Have you read _Pride and Prejudice_ yet?
I *really* mean it.
I *really*, truly mean it.
*Really?* I had no idea.
*Never* again will I eat there.
*Not* cool, man.
That was **so** good!
That was ***so*** good!
That was __so__ good!
It was ~terrible~ wonderful.
It was ~~terrible~~ wonderful.
**Wow!** That is great.
*Thank you so much!* You made my day.
_I love you._ I always did.
I was so happy. *So* happy.
And *you*? What do you think?
Who, *me*? Never.
*Me*? Never.
You did *what*?!
I said *no*. End of story.
I never said *she* stole it.
It *is* what it *is*.
She *loves* it, he *hates* it.
Those *kids* are something else.
That *laugh* of hers!
The word is *schadenfreude*, I think.
un*be*lievable, that's what it is.
*hugs* is what I need, not advice.
I need *hugs*!
(I mean it.) You were great.
You were great. (I mean it.)
(Not that I mind.) You were great.
You were great! (and so was she)
You were great! (if I may say so)
You were great! (no, really)
You were great! (right?)
You were great! (I think)
My sister (the older one) came.
My sister came (the older one).
I met her in Rome (Italy), not Rome (Georgia).
I ran 5 km (3 miles) today.
We go there every year (well, almost).
I saw a play (Shakespeare, of course) and a band (with Clapton!).
The pie (crisp, not soggy) was a hit.
She is smiling (like the Mona Lisa) in every picture.
It runs on a server (Node.js) at home.
Two things: rest and food.
One thing: I love it.
Listen: I'm serious.
Look: I know it's hard.
The truth: I forgot.
The truth is: I forgot.
Here's the thing: I love it.
Here's my plan: we go to Rome.
Here's the deal: You cook, I clean.
My answer: no.
Guess what: I got the job!
Guess what? I got the job: lead engineer!
Fun fact: I hate cilantro.
Fun fact: Octopuses have three hearts.
Plot twist: I said yes.
Hot take: Pineapple belongs on pizza.
Bottom line: We need a break.
Long story short: I quit.
Step one: Breathe.
Note to self: never do that again.
Honestly: I don't know.
Confession: I ate it all.
Question: are you free tonight?
Update: We won!
Reminder: I land at 7.
Breakfast: eggs and toast.
PS: I miss you.
P.S.: I miss you.
TL;DR: I quit.
FYI: I'm late.
It's 7:30 already.
At 7:30 we leave.
Meet me at 19:45, gate B: don't be late.
The ratio was 2:1.
See https://example.com/a_b_c?x=1&y=2 for more.
Go to http://example.com: it's there.
I read Matthew 5:3 to her.
Star Wars: A New Hope is my favorite.
Dune: Part Two was amazing.
I told him: go!
She said: "Go!"
"Go!" she said, and "Now!" he said.
She said "go" and left.
Him: no. Her: yes. That's how it went, every time.
C# and F# are fun.
5 * 3 is 15, and 2 * 2 * 2 is 8.
2**3**4 is large.
2 < 3 and 5 > 4.
I <3 it!
I <3 you, and <3 this place.
So happy :) See you :D
(: That made me smile.
I was sad :( but now I'm fine :)
I'm home :) (finally)
>_< I forgot again.
^_^ Thanks!
T_T I lost it.
¯\_(ツ)_/¯ Who knows?
(╯°□°)╯ I'm done.
It's free* for now.
It's free*.
It costs $5*, more or less.
That's b*llshit and you know it.
What the f***!
Rename my_old_var to my_new_var.
snake_case or camelCase?
Call it _private if you must.
1) first, 2) second.
(1) sleep and (2) food.
a) sleep or b) food?
1. Sleep. 2. Food.
either/or, a/b, and/or
@anna was there, #blessed!
We're #1!
#TeamEdward forever.
Tom & Jerry, R&B and Q&A; all good.
AT&T; that was my first job.
100% sure, 50%20 or so.
C:\new\temp is the folder.
\o/ we won!
It was... well... you know.
So... I quit. — Really? — Really.
— I quit. — Really?
I'm an AI engineer, it's in my job title.
I can't help you move, sorry.
Note that I never said that.
My essay is 500 words long.
I wrote 500 words today!
It was short (500 words, maybe).
I paid [...] well, a lot.
The score was [3, 2].
I use {} in my code.
I'd say yes.
As a friend, I'd say go for it.
My line: "Carpe diem."
Let me say this: I'm proud of you.
First of all, thank you. Second: I'm sorry.
Rock 'n' roll!
'Twas the night before Christmas.
He's 5'11", I'm 6'2".
"Stop," I said. "Just stop."
Price: $5. Worth it: yes.
Vitamin C, vitamin D: all of it.
The show's called "M*A*S*H".
It's a $$$ kind of place.
~5 minutes, I promise.
See you in ~10 minutes, or ~15.
Sooo good~ I love it~
I'm 50-50 on it.
well_known fact, *sort of*.
我不敢相信我们终于到了罗马！
我**真的**很高兴！
我妹妹（小的那个）也来了。
（我是认真的。）你真棒！
今天好累！（不过很开心）
两件事：吃饭和睡觉。
听着：我是认真的。
真相是：我忘了。
我看了《狮子王》，太好看了！
他说：“走吧！”
信じられない、やっと着いたね！
「行こう」って言ったの。
『君の名は。』を見たよ。
これは*本当に*すごい。
لا أصدق أننا وصلنا أخيرا!
هل رأيت "الأسد الملك"؟ إنه رائع.
Ich habe „König der Löwen“ gesehen.
„Na gut“, sagte sie.
Eins ist klar: wir fahren.
Das war *wirklich* toll (und günstig).
J'ai vu « Le Roi lion » hier soir.
Une chose : je t'aime.
¿Qué tal? ¡Qué alegría!
¿*De verdad*? No me lo creo.
Te lo digo: me encanta.
Я не верю, что мы приехали!
Две вещи: еда и сон.
나는 *정말* 믿을 수가 없어!
मुझे विश्वास नहीं हो रहा!
ฉันไม่อยากจะเชื่อเลย!
"""

JOINED = [
    "The family 👨‍👩‍👧‍👦 is here!",
    "We won ❤️ and how!",
    "Off to Wales 🏴󠁧󠁢󠁷󠁬󠁳󠁿 tomorrow!",
    "می‌خواهم بروم",
    "क्‍या बात है!",
    "ฉัน\u200bรัก\u200bเธอ",
    "אני\u200f כאן!",
    "Nice\u2028to meet you",
    "One\ttab, one\u00a0space",
    "NÃO, IRMÃO, não é!",
    "Zoë and Søren came 🎉",
    "It's 1️⃣ of a kind",
]


def lines(table: str) -> list[str]:
    """The replies of a table, one a line; ⏎ stands for a new line."""
    return [line.replace("⏎", "\n") for line in table.split("\n") if line]
