//! The server is killed again and again under load, at random moments and at each failpoint, and must have kept
//! what it acknowledged, as a whole and once.
//!
//! Several connections move amounts between rows, across tables and partitions; two subscribers follow; files are
//! flushed and merged, logs cut, tables altered, indexes made and a user erased meanwhile. After each kill `tidelog check`
//! must find the directory sound; then it is opened and compared with what this process was told. `SEED=n` repeats the choices (not the moments at which
//! threads meet), `KILLS=n` sets how many there are.

#[path = "crash/check.rs"]
mod check;
#[path = "crash/follower.rs"]
mod follower;
#[path = "crash/load.rs"]
mod load;
#[path = "crash/side.rs"]
mod side;
#[path = "crash/wal.rs"]
mod wal;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tidelog_compat_tests::process::PATIENCE;
use tidelog_compat_tests::random::number;
use tidelog_compat_tests::{Random, Server};
use tokio::time::timeout;

use check::Model;
use follower::Follower;
use load::WORKERS;
use wal::Tail;

/// After so many kills a new directory takes over.
const KILLS_A_DIRECTORY: u64 = 40;
/// How long a start and a check may take where a failpoint is set.
const CHECK_PATIENCE: Duration = Duration::from_secs(20);
/// How long a step may take to be reached.
const STEP_PATIENCE: Duration = Duration::from_secs(4);

/// How the server is to die.
#[derive(Clone, Debug)]
enum Death {
    /// By SIGKILL after so many milliseconds of load.
    At(u64),
    /// By itself, when the step is reached for the n-th time.
    Step(&'static str, u64),
    /// A thread stands still at the step; SIGKILL comes while the others go on.
    Held(&'static str, u64),
}

impl Death {
    /// What makes it come. Of all commits, of many or of none it depends that they are written in pieces.
    fn options(&self, random: &mut Random) -> Vec<String> {
        let mut options = match self {
            Death::At(_) => Vec::new(),
            Death::Step(step, nth) => vec![format!("--failpoints={step}=kill@{nth}")],
            Death::Held(step, nth) => vec![format!("--failpoints={step}=stop@{nth}")],
        };
        if self.step().is_some_and(|step| step.starts_with("large_")) || random.once_in(2) {
            let bytes = random.pick(&[0, 1000, 1500]);
            options.push(format!("--large-bytes={bytes}"));
        }
        options
    }

    fn step(&self) -> Option<&'static str> {
        match self {
            Death::At(_) => None,
            Death::Step(step, _) | Death::Held(step, _) => Some(step),
        }
    }
}

/// One data directory through its kills.
struct Run {
    server: Server,
    model: Model,
    followers: [Follower; 2],
}

impl Run {
    async fn start() -> Run {
        let server = Server::start();
        let model = Model::set_up(&server.peer()).await;
        Run {
            server,
            model,
            followers: [Follower::new("c.accounts"), Follower::new("c.wallets")],
        }
    }

    /// Works on the server until it is dead as planned; says whether a planned step was reached.
    async fn die(&mut self, death: &Death, random: &mut Random) -> bool {
        let peer = self.server.peer();
        let workers: Vec<_> = (0..WORKERS)
            .map(|worker| {
                let (next, next_ping) = self.model.next_of(worker);
                let load = load::until_gone(peer.clone(), worker, next, next_ping, random.split());
                tokio::spawn(load)
            })
            .collect();
        let jobs = tokio::spawn(side::until_gone(
            peer.clone(),
            death.step(),
            self.model.side(),
            random.split(),
        ));
        let following = self.followers.each_mut().map(|follower| {
            let stand_in = Follower::new(follower.table());
            let (mut follower, peer) = (std::mem::replace(follower, stand_in), peer.clone());
            tokio::spawn(async move {
                follower.follow(&peer, None).await;
                follower
            })
        });
        let log = self.server.log().len();
        let server = &mut self.server;
        let reached = tokio::task::block_in_place(|| match death {
            Death::At(ms) => !server.ends_within(Duration::from_millis(*ms)),
            Death::Step(step, _) => server.ends_within(patience(step)),
            Death::Held(step, _) => {
                let begun = Instant::now();
                let held = |server: &Server| server.log()[log..].contains("failpoint");
                while !held(server) && begun.elapsed() < patience(step) {
                    assert!(
                        !server.ends_within(Duration::from_millis(20)),
                        "it only stops"
                    );
                }
                server.ends_within(Duration::from_millis(random.below(200)));
                held(server)
            }
        });
        self.server.kill();
        for (worker, task) in workers.into_iter().enumerate() {
            self.model.note(worker, task.await.unwrap());
        }
        self.model.note_side(jobs.await.unwrap());
        for (follower, task) in self.followers.iter_mut().zip(following) {
            *follower = task.await.unwrap();
        }
        reached
    }

    /// Damages what the log's end holds beyond what was synced, as a power cut may.
    fn tear(&mut self, unsynced: bool, random: &mut Random) {
        let Some(tail) = Tail::of(&self.server.data().join("hot")) else {
            return;
        };
        if unsynced {
            tail.tear(random);
        } else if random.once_in(3) {
            tail.append_garbage(random);
        }
    }

    /// Compares all with what is known; an error when the server ended meanwhile.
    async fn check(&mut self, random: &mut Random) -> Result<(), check::Gone> {
        let data = self.server.data();
        let peer = self.server.peer();
        self.model.check(&peer, &data, random).await?;
        let marker = self.model.mark(&peer).await?;
        for follower in &mut self.followers {
            follower.follow(&peer, Some(marker)).await;
            if !follower.has_seen(marker) {
                return Err(check::Gone);
            }
            self.model.compare(follower);
        }
        Ok(())
    }
}

async fn kill_many(kills: u64) {
    let mut random = Random::from_environment();
    let steps = steps();
    let mut run = Run::start().await;
    let mut reached: BTreeMap<&str, u64> = steps.iter().map(|step| (*step, 0)).collect();
    let mut starts = Vec::new();
    let (mut committed, mut early) = (0, 0);
    // One round more than kills: each begins with the check of what the one before has left.
    for kill in 0..=kills {
        let fresh = kill % KILLS_A_DIRECTORY == 0;
        let mut death = match kill % 2 {
            _ if fresh || kill == kills => Death::At(random.below(200)),
            0 => Death::At(random.below(200)),
            _ => planned(next_step(&steps, &reached, kill / 2), &mut random),
        };
        println!("kill {kill}: {death:?}");
        run.server.kill();
        Server::assert_sound(&run.server.data());
        let begun = Instant::now();
        let options = death.options(&mut random);
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        // Where a thread is held the start and the check may wait for it.
        let patience = match death.step() {
            Some(_) => CHECK_PATIENCE,
            None => PATIENCE,
        };
        let mut up = run.server.try_start_again(&options, patience);
        if up {
            starts.push(begun.elapsed());
            let checked = timeout(patience, run.check(&mut random)).await;
            up = checked.is_ok_and(|checked| checked.is_ok());
        }
        if !up {
            // Not by the load, but by a background job or by what the check writes.
            let step = death
                .step()
                .expect("a server without failpoints does not end");
            *reached.get_mut(step).unwrap() += 1;
            early += 1;
            death = Death::At(random.below(200));
            run.server.kill();
            Server::assert_sound(&run.server.data());
            run.server.start_again();
            run.check(&mut random)
                .await
                .expect("a server without failpoints does not end");
        }
        if kill == kills {
            break;
        }
        if fresh {
            committed += run.model.committed();
            run = Run::start().await;
        }
        let as_planned = run.die(&death, &mut random).await;
        let step = death.step().filter(|_| as_planned);
        if let Some(step) = step {
            *reached.get_mut(step).unwrap() += 1;
        }
        run.tear(step == Some("commit_unsynced"), &mut random);
    }
    committed += run.model.committed();
    starts.sort();
    println!(
        "{kills} kills ({early} before the load), {committed} transactions; a start took {:?}, the longest {:?}",
        starts[starts.len() / 2],
        starts[starts.len() - 1]
    );
    println!("steps reached: {reached:?}");
    let missed: Vec<_> = reached.iter().filter(|(_, times)| **times == 0).collect();
    assert!(
        kills < 200 || missed.is_empty(),
        "never reached: {missed:?}"
    );
}

/// How long a step may take to be reached: erasures come at the end of a circle, and wait for readers.
fn patience(step: &str) -> Duration {
    match step.starts_with("erase") {
        true => 5 * STEP_PATIENCE,
        false => STEP_PATIENCE,
    }
}

/// Each step in turn, and after the first round each second time one that was not reached yet.
fn next_step(steps: &[&'static str], reached: &BTreeMap<&str, u64>, nth: u64) -> &'static str {
    let nth = nth as usize;
    let missing: Vec<_> = steps.iter().filter(|step| reached[**step] == 0).collect();
    match nth >= steps.len() && nth % 2 == 1 && !missing.is_empty() {
        true => missing[nth / 2 % missing.len()],
        false => steps[nth % steps.len()],
    }
}

/// A death at this step.
fn planned(step: &'static str, random: &mut Random) -> Death {
    let nth = 1 + match step.split_once('_') {
        Some(("commit", _)) => random.below(60),
        Some(("large", _)) => random.below(20),
        // It takes a while.
        Some(("erase", _)) => 0,
        _ => random.below(3),
    };
    // What was not synced is torn after the death, which only one that comes by itself allows.
    if step != "commit_unsynced" && random.once_in(4) {
        Death::Held(step, nth)
    } else {
        Death::Step(step, nth)
    }
}

/// The steps that the server has, from the error that names them.
fn steps() -> Vec<&'static str> {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Server::command(folder.path());
    let refused = command.arg("--failpoints=?").output().unwrap();
    let error = String::from_utf8(refused.stderr).unwrap();
    let (_, steps) = error
        .split_once("steps: ")
        .expect("the error names the steps");
    // It lives as long as the test.
    let steps: &'static str = steps.trim().to_string().leak();
    steps.split(' ').collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_kills() {
    kill_many(number("KILLS").unwrap_or(200)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "an hour: scripts/test --long"]
async fn thousands_of_kills() {
    kill_many(number("KILLS").unwrap_or(4000)).await;
}
