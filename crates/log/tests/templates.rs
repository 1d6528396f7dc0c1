//! Two take format strings apart: the macros at compile time, and `Template` at run time, for what the
//! macros have made of them and for those of others. Both take what `format!` takes.

mod common;

use common::{Keep, turn};
use tautline_log::format::Template;
use tautline_log::{Logger, Value, info};

/// Logs each line, and returns what `format!` makes of it and what a template does.
macro_rules! each {
    ($($format:literal: $($value:literal as $kind:ident),*;)*) => {
        vec![$({
            info!($format $(, $value)*);
            let template = Template::parse($format);
            let mut text = String::new();
            template.expect($format).render(&[$(Value::$kind($value)),*], &mut text);
            (format!($format $(, $value)*), text)
        }),*]
    };
}

/// Every part of a format string, with and without those around it, with blanks wherever they may be.
#[test]
fn all_take_the_same_format_strings() {
    let _turn = turn();
    let keep = Keep::default();
    let guard = Logger::start(keep.config()).unwrap();
    let rows = each! {
        "":;
        "{{}} }}{{":;
        "{{{}}}": 1 as U64;
        "{} {0} {1} {}": 1 as U64, "b" as Str;
        "{ } {\n} {0 } {0 :?} {0:? } {0 :5 } {: }": 1 as U64, "b" as Str, 'c' as Char;
        "{:<5}{:^5}{:>5}{:5}": 1 as U64, -2 as I64, "c" as Str, true as Bool;
        "{:*<5}{: ^5}{:é>5}{:}<5}{:{^5}": 1 as U64, 2 as U64, "c" as Str, 4 as U64, 'e' as Char;
        "{:+}{:-}{:+#}{:+05}{:#}{:<05}{:-#07}": 1 as U64, 2 as U64, 3 as U64, 4 as U64, 5 as U64,
            6 as U64, 7 as U64;
        "{:0$}{:01$}{:00$}{1:>+#00$}": 7 as U64, 8 as U64, 9 as U64;
        "{:.0}{:.1}{:8.2}{:08.3}{:e}{:.2e}{:E}{:?}": 2.5 as F64, 2.5 as F64, 2.5 as F64, 2.5 as F64,
            2.5 as F64, 2.5 as F64, 2.5 as F64, 2.5 as F64;
        "{:.*} {:.0$} {:6.*} {:.*}": 2 as U64, 2.5 as F64, 0.125 as F64, 1 as U64, 2.5 as F64,
            3 as U64, "cut here" as Str;
        "{2:0$.1$} {2:>0$} {2:.1$}": 9 as U64, 3 as U64, "a text" as Str;
        "{:x}{:X}{:o}{:b}{:#x}{:#X}{:#o}{:#b}{:#010x}{:#?}": 250 as U64, 251 as U64, 8 as U64,
            9 as U64, 250 as U64, 251 as U64, 8 as U64, 9 as U64, 255 as U64, 5 as U64;
        "{:x?}{:X?}{:#x?}{:02X?}{:6?}{:<6?}|": 250 as U64, 251 as U64, 252 as U64, 10 as U64,
            '\n' as Char, "q\"" as Str;
        "näme {:ß^9} ends": "text" as Str;
    };
    drop(guard);
    let logged = keep.messages();
    assert_eq!(logged.len(), rows.len());
    for ((expected, rendered), logged) in rows.iter().zip(logged) {
        assert_eq!((expected, expected), (rendered, &logged));
    }
}
