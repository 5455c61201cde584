use std::{path::PathBuf, sync::{Arc, atomic::AtomicBool}, time::{Duration, Instant}};
use stillpoint::{backend::local::LocalBackend, clock::*, crypto::secret::Credential, disk::RealDisk, format::record::*, ops::{backup, event::*, set::*}, repo::*};
struct Print;
impl Observer for Print { fn observe(&self, e: &Event) { match e { Event::Progress(_) => {}, e => println!("   {e:?}") } } }
fn main() {
    let args: Vec<String> = std::env::args().collect();
    if args.get(1).map(|s| s.as_str()) == Some("capture-child") { let _ = stillpoint::source::sqlite::run_child(); return; }
    if args.get(1).map(|s| s.as_str()) == Some("check-child") { let _ = stillpoint::source::sqlite_check::run_child(&args[2], &mut std::io::stdout()); return; }
    let dir = PathBuf::from(&args[2]);
    let key = Credential::KeyFile([1; 32]);
    let disk = Arc::new(RealDisk);
    let new = args[1] == "init";
    let backend = if new { LocalBackend::create(disk.clone(), &dir.join("repo")).unwrap() } else { LocalBackend::open(disk.clone(), &dir.join("repo")).unwrap() };
    let env = Environment { backend: Arc::new(backend), disk, clock: Arc::new(SystemClock), entropy: Arc::new(SystemEntropy), state_root: dir.join("state"), stop: Arc::new(AtomicBool::new(false)) };
    let t = Instant::now();
    let repo = if new { Repository::create(env, &[(key, "k".into())]).unwrap() } else { Repository::open(env, &key).unwrap() };
    println!("open {:?}", t.elapsed());
    if new { return; }
    let mut sets = vec![];
    for a in &args[3..] { if a == "--full" {continue;} let (k, rest) = a.split_once(':').unwrap(); let (n, p) = rest.split_once('=').unwrap();
        sets.push(Set { name: n.into(), source: if k == "sqlite" { SetSource::Sqlite { path: p.into() } } else { SetSource::Files(FileSet { paths: vec![p.into()], ..Default::default() }) } }); }
    let request = backup::Request { configured: sets.iter().map(|s| (s.name.clone(), s.kind())).collect(), sets, storage: if args.iter().any(|a| a == "--full") { Storage::Full } else { Storage::Incremental }, trigger: Trigger::Manual, actor: "".into(), station: "".into(), name: "".into(), note: "".into(), tags: vec![], environment: vec![], app_version: None, config: "".into(), host: "h".into(), wait: Duration::ZERO, min_free_bytes: 0, program: std::env::current_exe().unwrap(), own: vec![] };
    let t = Instant::now();
    let r = backup::run(&repo, &request, &Print);
    println!("backup {:?}", t.elapsed());
    match r { Ok(r) => { println!("added {} failed {:?} id {:?}", r.bytes_added, r.failed, r.snapshot.as_ref().map(|s| s.id)); for p in &r.snapshot.unwrap().record.parts { println!("{} {:?} {:?}", p.name, p.totals, p.problems); } }, Err(e) => println!("ERR {}", stillpoint::ops::with_causes(&e)) }
}
