//! How a command asks the smscope that has the data directory.

use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use super::Exit;
use crate::config::Config;
use crate::control::{self, Line, Request};
use crate::data_dir::DataDir;

/// How long a process that has the data directory may take until it answers: it may just be starting.
const UNTIL_ANSWERED: Duration = Duration::from_secs(10);

/// The last line that the running smscope answers.
///
/// # Errors
/// None is running, or it cannot do what is asked for.
pub fn ask(config: &Config, request: &Request) -> Result<Line, Exit> {
    let no_progress = |_| {};
    match control::ask(&DataDir::private_of(&config.data_dir), request, no_progress) {
        Ok(Line::Failed(why)) => Err(Exit::Failure(why)),
        Ok(line) => Ok(line),
        Err(error) if nobody_listens(&error) => {
            let why = match DataDir::is_in_use(&config.data_dir) {
                true => "the smscope that is running on it has no control socket, as it warned at its start",
                false => "no smscope is running on it",
            };
            Err(Exit::Failure(format!("data_dir = {:?}: {why}; expected one that can be asked", config.data_dir)))
        }
        Err(error) => Err(Exit::failure(error)),
    }
}

/// The last line that the smscope answers that has locked the data directory; `tell` has those before.
///
/// # Errors
/// It does not answer, or not to the end.
pub fn ask_running_process(config: &Config, request: &Request, mut tell: impl FnMut(Line)) -> io::Result<Line> {
    let folder = DataDir::private_of(&config.data_dir);
    let given_up = Instant::now() + UNTIL_ANSWERED;
    loop {
        match control::ask(&folder, request, &mut tell) {
            Err(error) if nobody_listens(&error) => {
                if Instant::now() > given_up {
                    return Err(io::Error::new(
                        error.kind(),
                        format!("the smscope that is using data_dir = {:?} does not answer: {error}", config.data_dir),
                    ));
                }
                std::thread::sleep(Duration::from_millis(100));
            }
            answered => return answered,
        }
    }
}

fn nobody_listens(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused)
}
