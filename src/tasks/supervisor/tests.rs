use std::future::pending;

use strum::VariantArray;
use tokio::time::Instant;

use super::*;

const LIMIT: Duration = Duration::from_secs(10);

/// One task of each kind of the process, which all end when they are asked to, `odd` aside.
fn supervised<F>(odd: Task, start: impl FnOnce(Shutdown) -> F) -> Supervisor
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut supervisor = Supervisor::new(LIMIT);
    for task in Task::VARIANTS.iter().copied().filter(|task| task.is_of_the_process() && *task != odd) {
        supervisor.spawn(task, Shutdown::wait);
    }
    supervisor.spawn(odd, start);
    supervisor
}

#[tokio::test]
async fn a_panic_or_an_early_return_is_a_failure_and_ends_all_tasks() {
    for task in Task::VARIANTS.iter().copied().filter(|task| task.is_of_the_process()) {
        for panics in [true, false] {
            let supervisor = supervised(task, |_| async move { assert!(!panics, "as it should here") });
            let phase = supervisor.phase();
            assert_eq!(supervisor.run(pending()).await, Some(task), "panics: {panics}");
            assert_eq!(*phase.borrow(), Phase::Failed(task));
            assert!(phase.borrow().liveness().is_err() && phase.borrow().readiness().is_err());
        }
    }
}

#[tokio::test]
async fn a_task_that_ends_at_shutdown_has_not_failed() {
    let supervisor = supervised(Task::Relay, Shutdown::wait);
    let phase = supervisor.phase();
    assert!(phase.borrow().liveness().is_ok() && phase.borrow().readiness().is_err());
    assert_eq!(supervisor.run(async {}).await, None);
    assert!(phase.borrow().liveness().is_ok() && phase.borrow().readiness().is_err());
}

#[tokio::test]
async fn a_panic_while_everything_ends_is_a_failure_too() {
    let supervisor = supervised(Task::LogExporter, |shutdown| async {
        shutdown.wait().await;
        panic!("as it should here");
    });
    assert_eq!(supervisor.run(async {}).await, Some(Task::LogExporter));
}

#[tokio::test]
async fn stages_end_one_after_the_other_the_store_last() {
    let mut supervisor = Supervisor::new(LIMIT);
    let (ended, mut ends) = tokio::sync::mpsc::unbounded_channel();
    for task in [Task::Writer, Task::AdminListener, Task::LogExporter, Task::Account, Task::WebhookListener] {
        let ended = ended.clone();
        supervisor.spawn(task, |shutdown| async move {
            shutdown.wait().await;
            tokio::task::yield_now().await;
            ended.send(task).unwrap();
        });
    }
    drop(ended);
    assert_eq!(supervisor.run(async {}).await, None);
    for task in [Task::WebhookListener, Task::Account, Task::LogExporter, Task::AdminListener, Task::Writer] {
        assert_eq!(ends.recv().await, Some(task));
    }
}

/// The store's threads end with the last handle on it, which may be before the stage of the store has come.
#[tokio::test]
async fn a_thread_of_the_store_may_end_early_once_the_shutdown_has_begun() {
    let mut supervisor = Supervisor::new(LIMIT);
    let (handle, handles) = std::sync::mpsc::channel::<()>();
    let writer = Thread::spawn("test", move || while handles.recv().is_ok() {}).unwrap();
    supervisor.watch_thread(Task::Writer, writer);
    supervisor.spawn(Task::Account, |shutdown| async move {
        shutdown.wait().await;
        drop(handle);
    });
    supervisor.spawn(Task::AdminListener, |shutdown| async move {
        shutdown.wait().await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    });
    assert_eq!(supervisor.run(async {}).await, None);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_end_in_time_is_cut_off() {
    let supervisor = supervised(Task::Relay, |_| pending());
    let started = Instant::now();
    assert_eq!(supervisor.run(async {}).await, None);
    assert!(started.elapsed() >= LIMIT && started.elapsed() < 2 * LIMIT, "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_thread_that_panics_is_a_failure_and_one_that_returns_too() {
    for panics in [true, false] {
        let mut supervisor = Supervisor::new(LIMIT);
        let thread = Thread::spawn("test", move || assert!(!panics, "as it should here")).unwrap();
        supervisor.watch_thread(Task::Writer, thread);
        assert_eq!(supervisor.run(pending()).await, Some(Task::Writer), "panics: {panics}");
    }
}
