//! One line of the doctor's report.

use serde::Serialize;

/// How good a thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    /// As Tautline wants it.
    Ok,
    /// Works, with less speed, fewer connections or more jitter.
    Limited,
    /// Not there: Tautline does without.
    Missing,
}

impl Status {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Limited => "limited",
            Self::Missing => "missing",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// The group it belongs to; groups stand together in the report.
    pub(crate) area: &'static str,
    /// What was looked at.
    pub(crate) item: &'static str,
    /// How good it is.
    pub(crate) status: Status,
    /// What is there, and what that means.
    pub(crate) found: String,
    /// The command that mends it; always there unless the status is `Ok`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) remedy: Option<String>,
}

/// Makes the findings of one area.
#[derive(Debug, Clone, Copy)]
pub(super) struct Area(pub(super) &'static str);

impl Area {
    pub(super) fn ok(self, item: &'static str, found: impl Into<String>) -> Finding {
        let found = found.into();
        Finding { area: self.0, item, status: Status::Ok, found, remedy: None }
    }

    pub(super) fn limited(
        self,
        item: &'static str,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Finding {
        let remedy = Some(remedy.into());
        Finding { status: Status::Limited, remedy, ..self.ok(item, found) }
    }

    pub(super) fn missing(
        self,
        item: &'static str,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Finding {
        Finding { status: Status::Missing, ..self.limited(item, found, remedy) }
    }
}
