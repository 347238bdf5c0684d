//! Words that ask, refer or connect but name nothing: dropped from queries and from labels, never from the index.

/// Looked up linearly: the list is short and words are few.
const STOP_WORDS: &[&str] = &[
    "무엇", "뭐", "뭔가요", "뭔지", "무엇인가요", "무엇입니까", "어떻게", "어떤", "어디", "어느", "누구", "언제",
    "왜", "얼마", "얼마나", "몇", "무슨", "경우", "및", "등", "수", "것", "때", "그", "이", "저", "좀", "은", "는",
    "인지", "인가요", "있나요", "있습니까", "있는지", "있는", "있을까요", "있다", "없다", "없나요", "궁금합니다",
    "궁금해요", "알고", "싶어요", "싶습니다", "싶은데", "알려", "알려주세요", "주세요", "대해", "대한", "대하여",
    "관련", "위해", "위한", "따른", "통해", "가능한가요", "가능한지", "하는", "하나요", "되나요", "됩니까", "합니까",
    "해야", "하면", "할", "되는지", "하는지",
];

/// Further words that a request is made of ("… 앱을 만들어 줘"); they label nothing.
const REQUEST_WORDS: &[&str] = &[
    "만들어", "만들어줘", "만들고", "만들기", "해줘", "해주는", "해주세요", "주는", "줘", "찾아", "찾아줘", "찾아주는",
    "알려주는", "알려줘", "보여줘", "보여주는", "보고", "싶다", "원해요", "필요해요", "부탁해요", "우리", "제가", "내가",
    "나는", "저는", "그리고", "또는", "하지만", "그래서", "또한", "다음", "여러", "모든", "각각", "매우", "같은", "앱",
    "앱을", "프로그램", "도구",
];

/// Does the word, or its stem, only ask or connect?
pub fn is_stop_word(word: &str, stem: &str) -> bool {
    STOP_WORDS.contains(&word) || STOP_WORDS.contains(&stem)
}

/// Is the word, or its stem, part of how a request is phrased?
pub fn is_request_word(word: &str, stem: &str) -> bool {
    REQUEST_WORDS.contains(&word) || REQUEST_WORDS.contains(&stem)
}
