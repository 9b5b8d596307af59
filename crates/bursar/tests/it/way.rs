//! A way to a server that can be cut and mended, as a network is.

use std::{
    io,
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

#[derive(Clone)]
pub(crate) struct Way {
    address: SocketAddr,
    is_cut: Arc<AtomicBool>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Way {
    /// A way to a database, and its URL by this way.
    pub(crate) fn to(url: &str) -> (Self, String) {
        let (scheme, rest) = url.split_once("://").expect("a scheme");
        let (authority, path) = rest.split_once('/').expect("a database");
        let (user, host) = authority.rsplit_once('@').unwrap_or(("postgres", authority));
        let target = if host.contains(':') { host.to_owned() } else { format!("{host}:5432") };
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let way = Self { address, is_cut: Arc::default(), open: Arc::default() };
        let running = way.clone();
        thread::spawn(move || running.run(&listener, &target));
        let url = format!("{scheme}://{user}@{}/{path}", way.address);
        (way, url)
    }

    fn run(&self, listener: &TcpListener, target: &str) {
        for near in listener.incoming().flatten() {
            if self.is_cut.load(Ordering::SeqCst) {
                // Dropped at once: nobody is there.
                continue;
            }
            // A target that is gone ends the connection, no more.
            drop(self.pass(near, target));
        }
    }

    fn pass(&self, near: TcpStream, target: &str) -> io::Result<()> {
        let far = TcpStream::connect(target)?;
        near.set_nodelay(true)?;
        far.set_nodelay(true)?;
        let ends = [near.try_clone()?, far.try_clone()?];
        self.open.lock().expect("a lock").extend(ends);
        for (mut from, mut to) in [(near.try_clone()?, far.try_clone()?), (far, near)] {
            thread::spawn(move || {
                let _ = io::copy(&mut from, &mut to);
                let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
            });
        }
        Ok(())
    }

    /// Ends every connection in the middle of whatever it says, and lets no other through.
    pub(crate) fn cut(&self) {
        self.is_cut.store(true, Ordering::SeqCst);
        for stream in self.open.lock().expect("a lock").drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    pub(crate) fn mend(&self) {
        self.is_cut.store(false, Ordering::SeqCst);
    }
}
