//! What proxying costs by itself: a route that is passed on unjudged, against nginx on the same core, in the same rounds.
//!
//! "Off" is a rule `pass` of the operator, so that nothing in a request can bring it about. Beside the added time stands
//! the time on the core that a request takes.

mod common;

use common::load::{self, Answer, Plan};
use common::process::Process;
use common::results::{bars, keep, rounds, seconds};
use common::stats::{Ratio, control, median};
use common::{Fault, Launch, Proxy, runtime, texts, there_and_back, upstream};
use serde_json::json;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Requests a second: what one core serves easily, so that the times are those of the work and not of a queue.
const RATE: f64 = 500.0;
const ROUNDS: usize = 10;

/// One way to the upstream, and what was measured of it, a value for each time.
struct Way<'a> {
    name: &'static str,
    address: SocketAddr,
    process: Option<&'a Process>,
    p50: Vec<f64>,
    p99: Vec<f64>,
    /// Microseconds on the core, a request.
    cpu: Vec<f64>,
}

fn main() -> Result<(), Fault> {
    let folder = tempfile::tempdir()?;
    let upstream = upstream::start()?;
    let file = folder.path().join("config.toml");
    std::fs::write(&file, "[[routes]]\npath = \"/v1/chat/completions\"\nrule = \"pass\"\n")?;
    let arguments = ["--config", file.to_str().ok_or("no path")?];
    let proxy = Proxy::launch(upstream, &Launch { cores: "0", arguments: &arguments, settings: &[] })?;
    let nginx = nginx(folder.path(), upstream)?;
    let mut ways = vec![Way::new("direct", upstream, None), Way::new("nonnocere", proxy.address, Some(&proxy.process))];
    match &nginx {
        Some((process, address)) => ways.push(Way::new("nginx", *address, Some(process))),
        None => {
            println!("SKIPPED: nginx is not installed (apt-get install nginx-light), so nothing is compared with it")
        }
    }
    let runtime = runtime()?;
    for round in 0..=rounds(ROUNDS) {
        for place in there_and_back(ways.len()) {
            let seed = (round * 10 + place) as u64;
            runtime.block_on(ways[place].measure(seed))?;
        }
        if round == 0 {
            // The first round warms up.
            ways.iter_mut().for_each(Way::forget);
        }
    }
    report(&ways)
}

impl<'a> Way<'a> {
    fn new(name: &'static str, address: SocketAddr, process: Option<&'a Process>) -> Self {
        Self { name, address, process, p50: vec![], p99: vec![], cpu: vec![] }
    }

    fn forget(&mut self) {
        (self.p50, self.p99, self.cpu) = (vec![], vec![], vec![]);
    }

    async fn measure(&mut self, seed: u64) -> Result<(), Fault> {
        let count = (RATE * seconds(2.0)) as usize;
        let bodies = vec![texts::asking(&texts::question(1)); count];
        let cpu = || self.process.map_or(Ok(Duration::ZERO), Process::cpu);
        let before = cpu()?;
        let run = load::run(Plan { address: self.address, rate: RATE, bodies, connections: 64, seed }).await?;
        if run.share(Answer::Allowed) < 1.0 {
            return Err(format!("{}: not all were answered: {:?}", self.name, run.fault).into());
        }
        self.cpu.push((cpu()? - before).as_secs_f64() * 1e6 / count as f64);
        self.p50.push(run.at(0.5));
        self.p99.push(run.at(0.99));
        Ok(())
    }

    /// What it adds to `direct`, each time.
    fn added(&self, direct: &Self) -> [Vec<f64>; 2] {
        let less = |ours: &[f64], theirs: &[f64]| ours.iter().zip(theirs).map(|(a, b)| a - b).collect();
        [less(&self.p50, &direct.p50), less(&self.p99, &direct.p99)]
    }
}

fn report(ways: &[Way<'_>]) -> Result<(), Fault> {
    let [direct, ours, others @ ..] = ways else { return Err("too few ways".into()) };
    println!("{RATE} requests a second, guard off, one core; milliseconds, and microseconds on the core a request");
    println!("{:<12}{:>9}{:>9}{:>12}{:>12}{:>9}", "", "p50", "p99", "added p50", "added p99", "CPU");
    for way in ways {
        let [p50, p99] = way.added(direct).map(|added| median(&added));
        let (of50, of99, cpu) = (median(&way.p50), median(&way.p99), median(&way.cpu));
        println!("{:<12}{of50:>9.3}{of99:>9.3}{p50:>12.3}{p99:>12.3}{cpu:>9.1}", way.name);
    }
    let halves =
        |values: &[f64]| -> [Vec<f64>; 2] { [0, 1].map(|half| values.iter().skip(half).step_by(2).copied().collect()) };
    let ([there, back], [cpu_there, cpu_back]) = (halves(&direct.p50), halves(&ours.cpu));
    let controls = json!({"direct, p50": control("direct, p50", &there, &back).json(),
                          "our CPU": control("our CPU", &cpu_there, &cpu_back).json()});
    let mut results = json!({"rate": RATE, "controls": controls, "ways": ways.iter().map(|way| {
        let [p50, p99] = way.added(direct).map(|added| median(&added));
        json!({"name": way.name, "p50_ms": median(&way.p50), "p99_ms": median(&way.p99), "added_p50_ms": p50,
               "added_p99_ms": p99, "cpu_us": median(&way.cpu)})
    }).collect::<Vec<_>>()});
    if let [nginx] = others {
        let (ours50, theirs50) = (ours.added(direct), nginx.added(direct));
        let figures = [
            ("added p50", Ratio::of(&ours50[0], &theirs50[0])),
            ("added p99", Ratio::of(&ours50[1], &theirs50[1])),
            ("CPU a request", Ratio::of(&ours.cpu, &nginx.cpu)),
        ];
        for (what, ratio) in figures {
            println!("against nginx, {what}: {ratio} (at most 1.5 is wanted)");
            results["against_nginx"][what] = ratio.json();
        }
    }
    let cpu: Vec<(String, f64)> = ways.iter().skip(1).map(|way| (way.name.to_owned(), median(&way.cpu))).collect();
    keep("null-proxy", results, &[bars("null-proxy", "Guard off: microseconds on the core, a request", &cpu)])?;
    Ok(())
}

/// nginx on the first core, in front of the same upstream; `None` where it is not installed.
fn nginx(folder: &Path, upstream: SocketAddr) -> Result<Option<(Process, SocketAddr)>, Fault> {
    let program = ["/usr/sbin/nginx", "/usr/bin/nginx"].into_iter().find(|path| Path::new(path).is_file());
    let Some(program) = program else { return Ok(None) };
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let home = folder.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("    {kind}_temp_path {home}/{kind};\n"))
        .concat();
    let configuration = format!(
        "daemon off;\nmaster_process off;\nworker_processes 1;\npid {home}/nginx.pid;\nerror_log {home}/error.log;\n\
         events {{ worker_connections 2048; }}\nhttp {{\n    access_log off;\n{temporary}    keepalive_requests 1000000;\n    \
         upstream llm {{ server {upstream}; keepalive 64; keepalive_requests 1000000; }}\n    server {{\n        \
         listen {address};\n        client_max_body_size 4m;\n        location / {{ proxy_pass http://llm; proxy_http_version \
         1.1; proxy_set_header Connection \"\"; }}\n    }}\n}}\n"
    );
    let file = folder.join("nginx.conf");
    std::fs::write(&file, configuration)?;
    // uwsgi and scgi are not in every build.
    let mut command = Command::new(program);
    command.arg("-p").arg(folder).arg("-c").arg(&file);
    let process = Process::on("0", &command)?;
    let started = Instant::now();
    while std::net::TcpStream::connect(address).is_err() {
        if started.elapsed() > Duration::from_secs(10) {
            return Err(format!("nginx did not start; see {home}/error.log").into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(Some((process, address)))
}
