//! On which terms statements run on a past database: read only, within time and memory.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use rusqlite::{
    Connection,
    config::DbConfig,
    hooks::{AuthAction, AuthContext, Authorization},
    limits::Limit,
};

use crate::{clock::Clock, ops::past::Error, repo::Environment};

/// What a statement gets where nobody says otherwise.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(60);
/// SQLite's memory in this process, sorting included: it has no files to swap to.
const HEAP_BYTES_MAX: u64 = 192 << 20;
/// Instructions of SQLite's machine between two looks at the clock: far below a millisecond.
const STEPS_BETWEEN_LOOKS: i32 = 2000;

/// What a past database is given to run on.
#[derive(Clone)]
pub struct Terms {
    pub clock: Arc<dyn Clock>,
    /// Set by a signal; statements end at once.
    pub stop: Arc<AtomicBool>,
    /// For all that runs on the connection, until it is given more.
    pub timeout: Duration,
}

impl Terms {
    /// The usual ones.
    pub fn of(env: &Environment) -> Self {
        let (clock, stop) = (Arc::clone(&env.clock), Arc::clone(&env.stop));
        Self { clock, stop, timeout: TIMEOUT_DEFAULT }
    }
}

/// Watches the statements of one connection.
pub(super) struct Watch {
    clock: Arc<dyn Clock>,
    stop: Arc<AtomicBool>,
    allowed_nanos: AtomicU64,
    deadline_nanos: AtomicU64,
    is_late: AtomicBool,
    is_attaching: AtomicBool,
}

impl Watch {
    pub fn new(terms: &Terms) -> Self {
        let watch = Self {
            clock: Arc::clone(&terms.clock),
            stop: Arc::clone(&terms.stop),
            allowed_nanos: AtomicU64::new(0),
            deadline_nanos: AtomicU64::new(0),
            is_late: AtomicBool::new(false),
            is_attaching: AtomicBool::new(false),
        };
        watch.allow(terms.timeout);
        watch
    }

    /// Gives what runs next this much time.
    pub fn allow(&self, time: Duration) {
        self.allowed_nanos.store(nanos(time), SeqCst);
        self.restart();
    }

    /// Begins to count the time anew.
    pub fn restart(&self) {
        self.is_late.store(false, SeqCst);
        let allowed = self.allowed_nanos.load(SeqCst);
        self.deadline_nanos.store(nanos(self.clock.elapsed()).saturating_add(allowed), SeqCst);
    }

    /// Does something during which databases may be attached; all others are refused.
    pub fn attaching<T>(&self, attach: impl FnOnce() -> T) -> T {
        self.is_attaching.store(true, SeqCst);
        let done = attach();
        self.is_attaching.store(false, SeqCst);
        done
    }

    /// Why a statement was stopped, if this watch did it.
    pub fn why_stopped(&self) -> Option<Error> {
        if self.stop.load(SeqCst) {
            return Some(Error::Stopped);
        }
        let limit = Duration::from_nanos(self.allowed_nanos.load(SeqCst));
        self.is_late.load(SeqCst).then_some(Error::TookTooLong { limit })
    }

    fn is_over(&self) -> bool {
        let is_late = nanos(self.clock.elapsed()) > self.deadline_nanos.load(SeqCst);
        if is_late {
            self.is_late.store(true, SeqCst);
        }
        is_late || self.stop.load(SeqCst)
    }

    fn judge(&self, context: &AuthContext<'_>) -> Authorization {
        let is_allowed = match context.action {
            AuthAction::Read { .. } | AuthAction::Select | AuthAction::Recursive => true,
            AuthAction::Transaction { .. } => true,
            AuthAction::Function { function_name } => {
                !function_name.eq_ignore_ascii_case("load_extension")
            }
            AuthAction::Pragma { pragma_name, pragma_value } => {
                is_harmless(pragma_name, pragma_value)
            }
            // R*Tree prepares its own writes when a query opens it. None can run: the file cannot
            // be written, and a statement that would is refused before its first step.
            AuthAction::Insert { .. } | AuthAction::Update { .. } | AuthAction::Delete { .. } => {
                true
            }
            AuthAction::Attach { .. } | AuthAction::Unknown { .. } => {
                self.is_attaching.load(SeqCst)
            }
            _ => false,
        };
        if is_allowed { Authorization::Allow } else { Authorization::Deny }
    }
}

/// Sets every limit of SQLite as low as honest databases allow.
pub(super) fn lower(connection: &Connection) -> rusqlite::Result<()> {
    let switches = [
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, false),
    ];
    for (switch, on) in switches {
        let _ = connection.set_db_config(switch, on)?;
    }
    let limits = [
        (Limit::SQLITE_LIMIT_LENGTH, 128 << 20),
        (Limit::SQLITE_LIMIT_SQL_LENGTH, 1_000_000),
        (Limit::SQLITE_LIMIT_VDBE_OP, 1_000_000),
        (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 100),
        (Limit::SQLITE_LIMIT_EXPR_DEPTH, 250),
        (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1000),
        (Limit::SQLITE_LIMIT_VARIABLE_NUMBER, 999),
        (Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 10),
        (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
    ];
    for (limit, value) in limits {
        let _ = connection.set_limit(limit, value)?;
    }
    // Temporary tables stay in memory: what was encrypted does not go to a disk in the clear.
    connection.execute_batch(&format!(
        "PRAGMA temp_store=MEMORY; PRAGMA cell_size_check=ON; PRAGMA mmap_size=0;
         PRAGMA cache_size=-8000; PRAGMA hard_heap_limit={HEAP_BYTES_MAX}; PRAGMA query_only=ON;"
    ))
}

/// Puts the connection under watch.
pub(super) fn guard(connection: &mut Connection, watch: &Arc<Watch>) -> rusqlite::Result<()> {
    let judge = Arc::clone(watch);
    connection.authorizer(Some(move |context: AuthContext<'_>| judge.judge(&context)))?;
    let watch = Arc::clone(watch);
    connection.progress_handler(STEPS_BETWEEN_LOOKS, Some(move || watch.is_over()))
}

/// Whether a pragma only tells something.
fn is_harmless(name: &str, value: Option<&str>) -> bool {
    const ABOUT_A_TABLE: [&str; 10] = [
        "table_info",
        "table_xinfo",
        "table_list",
        "index_list",
        "index_info",
        "index_xinfo",
        "foreign_key_list",
        "foreign_key_check",
        "integrity_check",
        "quick_check",
    ];
    const SETTINGS: [&str; 13] = [
        "application_id",
        "auto_vacuum",
        "collation_list",
        "compile_options",
        "data_version",
        "database_list",
        "encoding",
        "freelist_count",
        "journal_mode",
        "page_count",
        "page_size",
        "schema_version",
        "user_version",
    ];
    let is = |known: &&str| known.eq_ignore_ascii_case(name);
    ABOUT_A_TABLE.iter().any(is) || (value.is_none() && SETTINGS.iter().any(is))
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
