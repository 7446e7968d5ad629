//! The rules as data. A rule is a row; the code that applies it is elsewhere and knows no names.

/// A sequence of tokens that may not stand somewhere.
pub(crate) struct Banned {
    /// The tokens, separated by blanks; `""` is any string, `1.0` any float.
    pub(crate) tokens: &'static str,
    /// Path prefixes in which it may not stand.
    pub(crate) within: &'static [&'static str],
    /// Path prefixes in which it may all the same.
    pub(crate) except: &'static [&'static str],
    /// Whether test code is held to it too.
    pub(crate) in_tests: bool,
    /// What to write instead.
    pub(crate) instead: &'static str,
}

const CORE: &[&str] = &["proto-core/src/"];
const STRICT: &[&str] = &["proto-core/src/", "simulator/src/"];
const ALL: &[&str] = &[""];
const NONE: &[&str] = &[];

const fn strict(tokens: &'static str, instead: &'static str) -> Banned {
    Banned { tokens, within: STRICT, except: NONE, in_tests: false, instead }
}

const fn core(tokens: &'static str, instead: &'static str) -> Banned {
    Banned { tokens, within: CORE, except: NONE, in_tests: false, instead }
}

const fn everywhere(tokens: &'static str, instead: &'static str) -> Banned {
    Banned { tokens, within: ALL, except: NONE, in_tests: true, instead }
}

/// Names that code may not use.
pub(crate) const BANNED: &[Banned] = &[
    strict("HashMap", "its order differs from run to run; use BTreeMap, a sorted Vec or `bounded`"),
    strict("HashSet", "its order differs from run to run; use BTreeSet, a sorted Vec or `bounded`"),
    strict("SystemTime", "no clock is read here; wall time is an input with an error bound"),
    strict("Instant :: now", "no clock is read here; time comes with every input"),
    strict("thread_rng", "no ambient randomness; use `rng::Rng` or a keyed draw"),
    strict("getrandom", "no ambient randomness; entropy is handed in by the shell"),
    strict("OsRng", "no ambient randomness; entropy is handed in by the shell"),
    strict("SysRng", "no ambient randomness; entropy is handed in by the shell"),
    strict("f32", "rounding differs between machines; use integers (ppm, millis, a ratio)"),
    strict("f64", "rounding differs between machines; use integers (ppm, millis, a ratio)"),
    strict("1.0", "rounding differs between machines; use integers (ppm, millis, a ratio)"),
    strict("thread_local", "no global state; pass it in `Cx` or own it in the machine"),
    strict("static mut", "no global state; pass it in `Cx` or own it in the machine"),
    strict("Rc", "shared ownership hides who changes what; pass a reference or an index"),
    strict("RefCell", "a borrow that fails at run time; pass `&mut` down"),
    Banned {
        tokens: "unsafe",
        within: STRICT,
        except: NONE,
        in_tests: true,
        instead: "write it in safe code",
    },
    strict("println !", "return the text; only commands print"),
    strict("eprintln !", "return the text; only commands print"),
    core("std ::", "this crate has no std; use `core` or `alloc`"),
    core(". unwrap (", "a peer could reach it; use `let else`, `?` or a counted drop"),
    core(". expect (", "a peer could reach it; use `let else`, `?` or a counted drop"),
    core("panic !", "a peer could reach it; count a drop, or refuse the command"),
    core("unreachable !", "a peer could reach it; spell the arm out and count a drop"),
    Banned {
        tokens: "feature = \"\"",
        within: CORE,
        except: &["proto-core/src/zoo.rs", "proto-core/src/crypto/"],
        in_tests: true,
        instead: "features are chosen in zoo.rs and crypto/ alone; call what they offer",
    },
    everywhere("todo !", "finish it, or leave it out"),
    everywhere("unimplemented !", "finish it, or leave it out"),
    everywhere("dbg !", "leave it out"),
    everywhere("[ ignore ]", "say why: `#[ignore = \"reason\"]`"),
];

/// A word that no file may contain, given in two pieces so that this table does not contain it.
pub(crate) struct Word {
    /// The beginning and the end of the word.
    pub(crate) pieces: (&'static str, &'static str),
    /// Whether letters of either case count.
    pub(crate) any_case: bool,
    /// What to do.
    pub(crate) instead: &'static str,
}

const fn word(a: &'static str, b: &'static str, any_case: bool, instead: &'static str) -> Word {
    Word { pieces: (a, b), any_case, instead }
}

/// Words that neither code nor prose may contain.
pub(crate) const WORDS: &[Word] = &[
    word("TO", "DO", false, "do it, or open an issue"),
    word("FIX", "ME", false, "fix it, or open an issue"),
    word("XX", "X", false, "say what is meant"),
    word("st", "ub", true, "write the real thing, or leave it out"),
    word("/wo", "rk/", false, "name no folder of one machine; use a path from the workspace's root"),
    word("/ro", "ot/", false, "name no folder of one machine; use a path from the workspace's root"),
    word("/ho", "me/", false, "name no folder of one machine; use a path from the workspace's root"),
    word(
        "/tm",
        "p/",
        false,
        "name no folder of one machine; ask for a temporary one (mktemp, std::env::temp_dir)",
    ),
];

/// Sizes in lines.
pub(crate) struct Sizes {
    /// A file of live code.
    pub(crate) file: usize,
    /// A file of tests.
    pub(crate) test_file: usize,
    /// A function of live code.
    pub(crate) function: usize,
    /// A function of tests.
    pub(crate) test_function: usize,
}

/// Where longer is allowed: path, function (or `""` for the file itself), lines, and the reason.
pub(crate) type Larger = (&'static str, &'static str, usize, &'static str);

/// A reader keeps one idea in mind for about a page.
pub(crate) const SIZES: Sizes = Sizes { file: 600, test_file: 700, function: 70, test_function: 100 };

/// What may be longer.
pub(crate) const LARGER: &[Larger] = &[];

/// Modules of proto-core that every other may use. They may use each other and plain data.
pub(crate) const BASE: &[&str] = &[
    "time", "wake", "rng", "ids", "limits", "machine", "drops", "zoo", "params", "bounded", "codec",
    "carried",
];

/// Plain data that every module may use, as module and submodule.
pub(crate) const PLAIN: &[(&str, &str)] = &[("store", "record"), ("node", "input"), ("node", "output")];

/// The modules above the base, each with those that it may use besides base and plain data.
/// Machines do not know each other: `link` is not in `session`'s row, nor `session` in `link`'s.
pub(crate) const LAYERS: &[(&str, &[&str])] = &[
    ("crypto", &[]),
    ("store", &["crypto"]),
    ("identity", &["crypto", "store"]),
    ("session", &["crypto", "store", "identity"]),
    ("link", &["crypto", "store", "identity"]),
    ("routing", &["crypto", "store", "identity"]),
    ("beacon", &[]),
    ("bundle", &["crypto", "store", "identity"]),
    ("gossip", &["crypto", "store", "identity"]),
    ("node", &["crypto", "store", "identity", "session", "link", "routing", "beacon", "bundle", "gossip"]),
];

/// The crates of the workspace, each with those that it may depend on, tests not counted.
pub(crate) const CRATES: &[(&str, &[&str])] = &[
    ("proto-core", &[]),
    ("io-tokio", &["proto-core"]),
    ("io-embedded", &["proto-core"]),
    ("simulator", &["proto-core"]),
    ("scenarios", &["proto-core", "simulator"]),
    ("tests", &["proto-core", "simulator", "scenarios", "io-tokio", "io-embedded"]),
];
