//! `tautline log`: what is left of the log of a program.

use std::fmt::Write as _;
use std::io::{self, BufWriter, Write};

use tautline_log::sink::{Form, Human, Json, escape};
use tautline_log::{Level, Line, Recovered, Run, Was};

/// The lines, as they would have been on a console with their threads, or as JSON objects, run after
/// run.
pub(crate) fn print(recovered: &Recovered, only_waiting: bool, json: bool) -> io::Result<()> {
    let mut stdout = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let several = recovered.runs().len() > 1;
    for run in recovered.runs() {
        if several && !json {
            writeln!(stdout, "{}", heading(run))?;
        }
        let mut form = RunForm::of(run, json);
        let (mut text, mut result) = (String::new(), Ok(()));
        run.visit(|line, was| {
            if result.is_ok() && (was == Was::Waiting || !only_waiting) {
                text.clear();
                form.write(line, was, &mut text);
                result = stdout.write_all(text.as_bytes());
            }
        });
        result?;
    }
    stdout.flush()
}

/// Whose lines follow.
fn heading(run: &Run) -> String {
    let start = Line {
        time: run.started(),
        level: Level::Info,
        target: "",
        file: "",
        line: 0,
        thread: "",
        message: "",
        truncated: false,
        fields: &[],
    };
    let mut time = String::new();
    Human::new().write(&start, &mut time);
    let time = time.split(' ').next().unwrap_or_default();
    let mut heading = String::from("== ");
    escape(run.program(), &mut heading);
    // A string takes everything, here and below.
    let _ = write!(heading, ", process {}, started {time}: ", run.process());
    escape(&run.folder().display().to_string(), &mut heading);
    heading
}

/// How the lines of a run are written.
enum RunForm {
    Human(Human),
    /// With what stands behind the keys of a line, but whether it was waiting.
    Json(Json, String),
}

impl RunForm {
    fn of(run: &Run, json: bool) -> Self {
        if !json {
            return Self::Human(Human::new().threads(true));
        }
        let folder = run.folder().file_name().unwrap_or_default().to_string_lossy();
        let name = serde_json::Value::from(folder);
        Self::Json(Json::new(), format!("\"run\":{name},\"pid\":{}", run.process()))
    }

    fn write(&mut self, line: &Line<'_>, was: Was, text: &mut String) {
        match self {
            Self::Human(human) => human.write(line, text),
            Self::Json(json, run) => {
                json.write(line, text);
                // Before the brace and the line break.
                text.truncate(text.trim_end().len() - 1);
                let _ = writeln!(text, ",{run},\"waiting\":{}}}", was == Was::Waiting);
            }
        }
    }
}
