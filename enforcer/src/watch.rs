//! Directories that are watched for changes, whether they exist yet or not.
//!
//! Where a directory is missing, the nearest one above it that exists is watched until it appears. Watches are added
//! before anybody looks, so what happens after a look is always told; what is told may have been seen already.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use inotify::{EventMask, Inotify, WatchDescriptor, WatchMask};
use thiserror::Error;
use tokio::io::unix::AsyncFd;

/// Room for some hundred events; what does not fit is read next.
const BUFFER: usize = 64 << 10;

/// A file that is replaced, written to its end, linked or gone, and a directory that is. A file that is being
/// written is told of when it is closed.
const CHANGES: WatchMask = WatchMask::CREATE
    .union(WatchMask::CLOSE_WRITE)
    .union(WatchMask::MOVED_TO)
    .union(WatchMask::MOVED_FROM)
    .union(WatchMask::DELETE)
    .union(WatchMask::DELETE_SELF)
    .union(WatchMask::MOVE_SELF)
    .union(WatchMask::ONLYDIR);

/// A directory that cannot be watched: changes in it would go unseen.
#[derive(Debug, Error)]
#[error("cannot watch {}", path.display())]
pub struct WatchError {
    path: PathBuf,
    source: io::Error,
}

/// What has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Changed {
    /// These entries of a watched directory.
    Entries(BTreeSet<OsString>),
    /// Anything: events were lost, or a directory came or went.
    Anything,
}

impl Changed {
    /// Both changes as one.
    fn and(&mut self, other: Self) {
        match (&mut *self, other) {
            (Self::Entries(entries), Self::Entries(more)) => entries.extend(more),
            _ => *self = Self::Anything,
        }
    }
}

/// A set of watched directories.
pub(crate) struct Watch {
    inotify: AsyncFd<Inotify>,
    directories: Vec<PathBuf>,
    /// Which of them exist, with their watches.
    watched: BTreeMap<PathBuf, WatchDescriptor>,
    /// The watches above those that do not.
    above: HashSet<WatchDescriptor>,
}

impl Watch {
    /// Watches `directories` from now on.
    pub(crate) fn new(directories: Vec<PathBuf>) -> Result<Self, WatchError> {
        let inotify = Inotify::init().and_then(registered);
        let inotify = inotify.map_err(|source| failed(&directories, source))?;
        let mut watch = Self {
            inotify,
            directories,
            watched: BTreeMap::new(),
            above: HashSet::new(),
        };
        watch.arm()?;
        Ok(watch)
    }

    /// Waits until something changes. Dropping the wait loses nothing.
    pub(crate) async fn changed(&mut self) -> Result<Changed, WatchError> {
        loop {
            let events = self
                .events()
                .await
                .map_err(|source| failed(&self.directories, source))?;
            let mut changed = Changed::Entries(BTreeSet::new());
            let mut moved = false;
            for Event { watch, mask, name } in events {
                // A file that has just been created is empty; when it is closed it is told of again.
                if mask == EventMask::CREATE {
                    continue;
                }
                let known = self.watched.values().any(|watched| *watched == watch);
                if mask.contains(EventMask::Q_OVERFLOW) {
                    changed = Changed::Anything;
                }
                moved |= !known || mask.intersects(ABOUT_DIRECTORIES);
                if let Some(name) = name.filter(|_| known && !mask.contains(EventMask::ISDIR)) {
                    changed.and(Changed::Entries([name].into()));
                }
            }
            if moved && self.arm()? {
                changed = Changed::Anything;
            }
            if changed != Changed::Entries(BTreeSet::new()) {
                return Ok(changed);
            }
        }
    }

    async fn events(&mut self) -> io::Result<Vec<Event>> {
        let mut buffer = vec![0; BUFFER];
        loop {
            let mut ready = self.inotify.readable_mut().await?;
            let read = ready.try_io(|inotify| {
                let events = inotify.get_mut().read_events(&mut buffer)?;
                Ok(events.map(Event::from).collect())
            });
            if let Ok(events) = read {
                return events;
            }
        }
    }

    /// Watches every directory that exists, and in place of one that does not the nearest above it. Says whether the
    /// directories that exist are other ones than before; adding a watch again changes nothing.
    fn arm(&mut self) -> Result<bool, WatchError> {
        let mut inotify = self.inotify.get_ref().watches();
        let (mut watched, mut above) = (BTreeMap::new(), HashSet::new());
        for directory in &self.directories {
            let mut path: &Path = directory;
            loop {
                match inotify.add(path, CHANGES) {
                    Ok(watch) if path == directory => {
                        watched.insert(directory.clone(), watch);
                        break;
                    }
                    // What is below may have appeared before this watch was there.
                    Ok(_) if next_below(path, directory).is_dir() => path = directory,
                    Ok(watch) => {
                        above.insert(watch);
                        break;
                    }
                    Err(error) if is_missing(&error) && path != Path::new(".") => {
                        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
                        path = parent.unwrap_or(Path::new("."));
                    }
                    Err(source) => {
                        return Err(WatchError {
                            path: path.to_owned(),
                            source,
                        });
                    }
                }
            }
        }
        for unused in self
            .above
            .difference(&above)
            .filter(|watch| watched.values().all(|used| used != *watch))
        {
            // The kernel drops the watch of a directory that is gone by itself.
            if let Err(error) = inotify.remove(unused.clone())
                && error.kind() != io::ErrorKind::InvalidInput
            {
                return Err(failed(&self.directories, error));
            }
        }
        let others = watched != self.watched;
        (self.watched, self.above) = (watched, above);
        Ok(others)
    }
}

/// Events after which other directories may exist than before.
const ABOUT_DIRECTORIES: EventMask = EventMask::ISDIR
    .union(EventMask::IGNORED)
    .union(EventMask::DELETE_SELF)
    .union(EventMask::MOVE_SELF);

#[expect(
    deprecated,
    reason = "the replacement is unsafe for types that may change their descriptor; this one does not"
)]
fn registered(inotify: Inotify) -> io::Result<AsyncFd<Inotify>> {
    AsyncFd::new(inotify)
}

struct Event {
    watch: WatchDescriptor,
    mask: EventMask,
    name: Option<OsString>,
}

impl From<inotify::Event<&OsStr>> for Event {
    fn from(event: inotify::Event<&OsStr>) -> Self {
        Self {
            watch: event.wd,
            mask: event.mask,
            name: event.name.map(OsString::from),
        }
    }
}

fn is_missing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// The entry of `above` on the way down to `directory`.
fn next_below(above: &Path, directory: &Path) -> PathBuf {
    let rest = directory.strip_prefix(above).unwrap_or(directory);
    match rest.components().next() {
        Some(first) => above.join(first),
        None => directory.to_owned(),
    }
}

fn failed(directories: &[PathBuf], source: io::Error) -> WatchError {
    WatchError {
        path: directories.first().cloned().unwrap_or_default(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::*;

    async fn next(watch: &mut Watch) -> Changed {
        let changed = tokio::time::timeout(Duration::from_secs(10), watch.changed()).await;
        changed.expect("an event within the deadline").expect("a watch")
    }

    fn entry(name: &str) -> Changed {
        Changed::Entries([OsString::from(name)].into())
    }

    #[tokio::test]
    async fn a_file_that_comes_changes_or_goes_is_told_by_its_name() {
        let directory = tempfile::tempdir().unwrap();
        let mut watch = Watch::new(vec![directory.path().to_owned()]).unwrap();
        fs::write(directory.path().join("a"), "1").unwrap();
        assert_eq!(next(&mut watch).await, entry("a"));
        fs::write(directory.path().join("a"), "2").unwrap();
        assert_eq!(next(&mut watch).await, entry("a"));
        fs::rename(directory.path().join("a"), directory.path().join("b")).unwrap();
        assert_eq!(
            next(&mut watch).await,
            Changed::Entries(["a".into(), "b".into()].into())
        );
        fs::remove_file(directory.path().join("b")).unwrap();
        assert_eq!(next(&mut watch).await, entry("b"));
    }

    #[tokio::test]
    async fn a_directory_that_appears_later_is_watched_from_then_on() {
        let above = tempfile::tempdir().unwrap();
        let directory = above.path().join("x/y/z");
        let mut watch = Watch::new(vec![directory.clone()]).unwrap();
        fs::write(above.path().join("other"), "").unwrap();
        fs::create_dir_all(&directory).unwrap();
        assert_eq!(next(&mut watch).await, Changed::Anything);
        fs::write(directory.join("a"), "").unwrap();
        assert_eq!(next(&mut watch).await, entry("a"));
        fs::remove_dir_all(above.path().join("x")).unwrap();
        while next(&mut watch).await != Changed::Anything {}
        fs::create_dir_all(&directory).unwrap();
        assert_eq!(next(&mut watch).await, Changed::Anything);
        fs::write(directory.join("b"), "").unwrap();
        assert_eq!(next(&mut watch).await, entry("b"));
    }

    #[tokio::test]
    async fn a_file_in_the_place_of_a_directory_is_waited_out() {
        let above = tempfile::tempdir().unwrap();
        let directory = above.path().join("x");
        fs::write(&directory, "").unwrap();
        let mut watch = Watch::new(vec![directory.clone()]).unwrap();
        fs::remove_file(&directory).unwrap();
        fs::create_dir(&directory).unwrap();
        assert_eq!(next(&mut watch).await, Changed::Anything);
    }
}
