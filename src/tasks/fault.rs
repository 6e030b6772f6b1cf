//! Faults that tests inject into running tasks: a panic in the task itself, wherever it is waiting.

use std::sync::LazyLock;

use tokio::sync::watch;

use super::Task;

static ARMED: LazyLock<watch::Sender<Option<Task>>> = LazyLock::new(|| watch::Sender::new(None));

/// Has the task of this name panic, soon.
pub fn arm(task: Task) {
    ARMED.send_replace(Some(task));
}

/// Panics, once, when a fault for `task` is armed.
pub fn point(task: Task) {
    let fires = ARMED.send_if_modified(|armed| armed.take_if(|armed| *armed == task).is_some());
    assert!(!fires, "a fault that a test has injected");
}

/// `work`, which panics when a fault for `task` is armed.
pub async fn killable(task: Task, work: impl Future<Output = ()>) {
    let mut armed = ARMED.subscribe();
    tokio::select! {
        () = work => {}
        _ = armed.wait_for(|armed| *armed == Some(task)) => panic!("a fault that a test has injected"),
    }
}
