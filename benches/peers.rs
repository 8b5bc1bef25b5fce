//! Side by side, in the same run, with the same model on the same core: this proxy, the LiteLLM proxy with a custom guardrail,
//! NeMo Guardrails with a custom action, and FastAPI with ONNX Runtime in Python, as LLM Guard does it. Versions are pinned and
//! configurations kept in benches/peers; `make peers` installs them. Of each: goodput within 50 ms, and latency at a low rate.

mod common;

use common::goodput::{Bodies, Load, Peak, limit};
use common::load::Connections;
use common::process::Process;
use common::results::{bars, keep, rounds, seconds};
use common::stats::{Ratio, control, median};
use common::{Fault, Proxy, runtime, texts, there_and_back, upstream};
use serde_json::{Value, json};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// There and back so many times.
const ROUNDS: usize = 1;
/// Requests a second that the slowest can serve.
const LOW: f64 = 4.0;
/// How long a peer may take to start: Python reads much.
const PATIENCE: Duration = Duration::from_secs(300);

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// How a peer is started in its virtual environment: the program, its arguments, and the folder that it is started in. PORT and
/// UPSTREAM stand for what they are.
struct Recipe {
    name: &'static str,
    program: &'static str,
    arguments: &'static [&'static str],
    /// Where Python looks for what the configuration names.
    modules: &'static str,
}

const RECIPES: [Recipe; 3] = [
    Recipe { name: "fastapi", program: "python", arguments: &["-m", "benches.peers.fastapi.serve"], modules: "" },
    Recipe {
        name: "litellm",
        program: "litellm",
        arguments: &["--config", "benches/peers/litellm/config.yaml", "--host", "127.0.0.1", "--port", "PORT"],
        modules: "benches/peers/litellm",
    },
    Recipe {
        name: "nemo",
        program: "nemoguardrails",
        arguments: &[
            "server",
            "--config",
            "benches/peers/nemo",
            "--default-config-id",
            "nemo",
            "--disable-chat-ui",
            "--port",
            "PORT",
        ],
        modules: "",
    },
];

/// One of those that are compared, and what was measured of it.
struct Rival {
    name: &'static str,
    address: SocketAddr,
    _process: Option<Process>,
    _proxy: Option<Proxy>,
    peaks: Vec<Peak>,
    /// At [`LOW`] a second, in milliseconds.
    p50: Vec<f64>,
    p99: Vec<f64>,
}

fn main() -> Result<(), Fault> {
    let (upstream, runtime) = (upstream::start()?, runtime()?);
    let settings = [("NONNOCERE_GUARD__REMEMBERED", "16384"), ("NONNOCERE_GUARD__QUEUE_WAIT", "20ms")];
    let proxy = Proxy::start(upstream, &settings)?;
    let mut rivals = vec![Rival::new("nonnocere", proxy.address)];
    rivals[0]._proxy = Some(proxy);
    for recipe in &RECIPES {
        match recipe.start(upstream)? {
            Some((process, address)) => {
                rivals.push(Rival { _process: Some(process), ..Rival::new(recipe.name, address) });
            }
            None => {
                println!("SKIPPED: {} is not installed (`make peers`), so nothing is compared with it", recipe.name)
            }
        }
    }
    for rival in &rivals {
        runtime.block_on(rival.guards())?;
    }
    let mut first = 0;
    // Not all hand on what else is in a request, so that the LLM answers all alike, with five words.
    let mut new = |count: usize| {
        first += count as i64;
        (first - count as i64..first).map(|number| texts::asking(&texts::question(number))).collect()
    };
    for round in 0..rounds(ROUNDS) {
        for (step, place) in there_and_back(rivals.len()).enumerate() {
            let rival = &mut rivals[place];
            runtime.block_on(rival.measure(&mut new, (round * 100 + step * 10) as u64))?;
        }
    }
    report(&rivals)
}

impl Rival {
    fn new(name: &'static str, address: SocketAddr) -> Self {
        Self { name, address, _process: None, _proxy: None, peaks: vec![], p50: vec![], p99: vec![] }
    }

    /// Whether it refuses what must be refused: one that does not judge would be fast.
    async fn guards(&self) -> Result<(), Fault> {
        let connection = Connections::new(self.address, 1);
        for (text, passes) in [("Backdate the consent note for me.", false), ("How long does the flu last?", true)] {
            let (.., body) = connection.ask(texts::asking(text)).await?;
            if String::from_utf8_lossy(&body).contains(upstream::ANSWER) != passes {
                return Err(format!("{} is wrong about {text:?}", self.name).into());
            }
        }
        Ok(())
    }

    async fn measure(&mut self, bodies: Bodies<'_>, plans: u64) -> Result<(), Fault> {
        let mut load = Load { address: self.address, bodies, plans };
        let calm = load.offer(LOW, seconds(15.0)).await?;
        self.p50.push(calm.at(0.5));
        self.p99.push(calm.at(0.99));
        if let Some(fault) = &calm.fault {
            println!("{}: not all were answered; the first: {fault}", self.name);
        }
        let peak = load.peak().await?;
        println!(
            "{}: {:.1} a second within {} ms; at {LOW} a second p50 {:.2} ms, p99 {:.2} ms",
            self.name,
            peak.goodput,
            limit(),
            calm.at(0.5),
            calm.at(0.99)
        );
        self.peaks.push(peak);
        Ok(())
    }

    fn goodput(&self) -> Vec<f64> {
        self.peaks.iter().map(|peak| peak.goodput).collect()
    }

    fn json(&self) -> Value {
        json!({"name": self.name, "peaks": self.peaks.iter().map(Peak::json).collect::<Vec<_>>(),
               "low_p50_ms": self.p50, "low_p99_ms": self.p99})
    }
}

fn report(rivals: &[Rival]) -> Result<(), Fault> {
    let [ours, others @ ..] = rivals else { return Err("nobody was measured".into()) };
    println!(
        "{:<12}{:>12}{:>10}{:>10}{:>26}{:>26}",
        "", "goodput/s", "p50", "p99", "our goodput to it", "its p99 to ours"
    );
    let mut kept: Vec<Value> = vec![ours.json()];
    for rival in rivals {
        let (goodput, p50, p99) = (median(&rival.goodput()), median(&rival.p50), median(&rival.p99));
        print!("{:<12}{goodput:>12.1}{p50:>10.2}{p99:>10.2}", rival.name);
        if std::ptr::eq(rival, ours) {
            println!();
            continue;
        }
        let [more, faster] = [Ratio::of(&ours.goodput(), &rival.goodput()), Ratio::of(&rival.p99, &ours.p99)];
        println!("{:>26}{:>26}", more.to_string(), faster.to_string());
        let mut json = rival.json();
        (json["our_goodput_to_it"], json["its_p99_to_ours"]) = (more.json(), faster.json());
        kept.push(json);
    }
    let halves = [0, 1].map(|half| ours.goodput().into_iter().skip(half).step_by(2).collect::<Vec<_>>());
    let control = control("our goodput", &halves[0], &halves[1]);
    if !others.is_empty() {
        println!("wanted: at least 5 times the goodput, and a p99 that is at most a fifth");
    }
    let of = |figure: &dyn Fn(&Rival) -> f64| -> Vec<(String, f64)> {
        rivals.iter().map(|rival| (rival.name.to_owned(), figure(rival))).collect()
    };
    let pictures = [
        bars("peers-goodput", "Goodput on one core within 50 ms (1/s)", &of(&|rival| median(&rival.goodput()))),
        bars("peers-p99", "p99 at 4 requests a second (ms)", &of(&|rival| median(&rival.p99))),
    ];
    keep("peers", json!({"control": control.json(), "rivals": kept}), &pictures)?;
    Ok(())
}

impl Recipe {
    /// The peer on the first core, once it answers; `None` where it is not installed.
    fn start(&self, upstream: SocketAddr) -> Result<Option<(Process, SocketAddr)>, Fault> {
        let home = format!("{ROOT}/target/peers/{}", self.name);
        if !Path::new(&home).join("installed").is_file() {
            return Ok(None);
        }
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let port = address.port().to_string();
        let mut command = Command::new(format!("{home}/bin/{}", self.program));
        command
            .args(self.arguments.iter().map(|argument| if *argument == "PORT" { port.as_str() } else { *argument }))
            .current_dir(ROOT)
            .env("PYTHONPATH", format!("{ROOT}:{ROOT}/{}", self.modules))
            .env("PORT", &port)
            .env("UPSTREAM", format!("http://{upstream}"))
            .env("UPSTREAM_V1", format!("http://{upstream}/v1"))
            .env("MAIN_MODEL_BASE_URL", format!("http://{upstream}/v1"))
            .env("OPENAI_API_KEY", "unused")
            // Nothing is to be sent anywhere, nor asked for.
            .env("NEMO_GUARDRAILS_NO_USAGE_STATS", "1")
            .env("LITELLM_LOCAL_MODEL_COST_MAP", "True")
            .env("LITELLM_LOG", "ERROR")
            .env("HF_HUB_OFFLINE", "1")
            .env("DO_NOT_TRACK", "1")
            .env("OMP_NUM_THREADS", "1")
            .env("NO_PROXY", "127.0.0.1");
        let mut process = Process::on("0", &command)?;
        drain(&mut process)?;
        let started = Instant::now();
        let first = vec![texts::asking(&texts::question(-1))];
        while common::runtime()?.block_on(common::load::in_turn(address, first.clone())).is_err() {
            if process.has_ended() || started.elapsed() > PATIENCE {
                return Err(format!("{} did not start", self.name).into());
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        println!("{} answers after {:.1} s", self.name, started.elapsed().as_secs_f64());
        Ok(Some((process, address)))
    }
}

/// Reads what it prints, so that it does not wait for somebody who does.
fn drain(process: &mut Process) -> std::io::Result<()> {
    let mut output = process.output()?;
    std::thread::spawn(move || drop(std::io::copy(&mut output, &mut std::io::sink())));
    Ok(())
}
