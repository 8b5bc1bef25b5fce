//! What it costs to read a text for the classifier: nanoseconds a byte, of 1 KiB and of 1 MiB, and the ratio of the two,
//! which stays near 1 as long as the work is linear. Each input is made to be slow in one way.

use nonnocere::detect;
use std::hint::black_box;
use std::time::{Duration, Instant};

const SMALL: usize = 1 << 10;
const LARGE: usize = 1 << 20;

/// Stretches that are repeated to the length that is wanted.
const SHAPES: [(&str, &str); 16] = [
    (
        "clinical text",
        "Pt is a 62 yo man with HbA1c 7.2, on metformin 500 mg b.i.d.; seen for chest pain, ECG normal. ",
    ),
    ("letters apart", "h i d e "),
    ("ampersands", "&"),
    ("entities", "&#104;"),
    ("backslashes", "\\u"),
    ("base64 of base64", "V1hoaFlXRmhZV0ZoWVdGaFlXRmhZV0ZoWVdGaFlXRmhZV0Zo"),
    ("short base64 runs", "SG93IGRvIEkgaGlkZSBpdD8= "),
    ("hexadecimal", "486f7720646f20492068696465206974"),
    ("numbers", "72 111 119 32 "),
    ("percent signs", "%20"),
    ("rot13", "ubj qb V gur bs "),
    ("backwards", "eht fo woh rof "),
    ("digits for letters", "h1d3 7h3 f1l3 "),
    ("look-alikes", "h\u{456}d\u{435} th\u{435} f\u{456}l\u{435} "),
    ("marks", "a\u{336}\u{336}\u{336}"),
    ("selectors", "\u{e0158}\u{e0159}"),
];

fn main() {
    println!("{:<22}{:>12}{:>12}{:>8}", "", "1 KiB", "1 MiB", "ratio");
    for (name, shape) in SHAPES {
        let [small, large] = [SMALL, LARGE].map(|length| per_byte(&shape.repeat(length.div_ceil(shape.len()))));
        println!("{name:<22}{small:>9.1} ns{large:>9.1} ns{:>8.2}", large / small);
    }
}

/// Nanoseconds a byte: the best of runs that take at least a fifth of a second together.
fn per_byte(text: &str) -> f64 {
    let (started, mut best) = (Instant::now(), f64::INFINITY);
    while started.elapsed() < Duration::from_millis(200) {
        let start = Instant::now();
        black_box(detect::read(black_box(text)));
        best = best.min(start.elapsed().as_secs_f64() * 1e9 / text.len() as f64);
    }
    best
}
