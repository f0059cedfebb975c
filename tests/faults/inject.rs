//! Faults inside SQLite: a statement interrupted at its n-th step, a COMMIT refused, a failing write or fsync.
//!
//! Uses SQLite's own extension points: an automatic extension sees each connection as it is opened, and a VFS wraps the
//! real one. The store does not know about them. Only one test at a time may inject faults.

use rusqlite::ffi;
use std::{
    os::raw::{c_char, c_int, c_void},
    ptr,
    sync::{
        Mutex, MutexGuard, Once, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicPtr, Ordering::SeqCst},
    },
};

static STEPS: AtomicI64 = AtomicI64::new(-1);
static WRITES: AtomicI64 = AtomicI64::new(-1);
static WRITE_CODE: AtomicI64 = AtomicI64::new(0);
static SYNCS: AtomicI64 = AtomicI64::new(-1);
static REFUSE: AtomicBool = AtomicBool::new(false);
static FIRED: AtomicI64 = AtomicI64::new(0);
/// The connection that is interrupted and refused: the first one opened after `await_writer`.
static WRITER: AtomicPtr<ffi::sqlite3> = AtomicPtr::new(ptr::null_mut());
/// Tables of methods: the real ones and ours.
static METHODS: Mutex<Vec<Tables>> = Mutex::new(Vec::new());
/// One of the real tables. They all write and sync in the same way.
static REAL_METHODS: AtomicPtr<ffi::sqlite3_io_methods> = AtomicPtr::new(ptr::null_mut());
static REAL: AtomicPtr<ffi::sqlite3_vfs> = AtomicPtr::new(ptr::null_mut());
static TURN: Mutex<()> = Mutex::new(());

type Tables = (&'static ffi::sqlite3_io_methods, &'static ffi::sqlite3_io_methods);

/// The right to inject faults. Dropping it disarms every fault.
pub struct Injector(#[allow(dead_code)] MutexGuard<'static, ()>);

pub fn begin() -> Injector {
    static INSTALL: Once = Once::new();
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: it is called once, before any database is open.
    INSTALL.call_once(|| unsafe { install() });
    disarm();
    Injector(turn)
}

impl Drop for Injector {
    fn drop(&mut self) {
        disarm();
    }
}

impl Injector {
    /// Targets the connection that is opened next.
    pub fn await_writer(&self) {
        WRITER.store(ptr::null_mut(), SeqCst);
    }

    /// Interrupts the writer once, when SQLite asks for the n-th time whether to continue.
    pub fn interrupt_at(&self, n: i64) {
        FIRED.store(0, SeqCst);
        STEPS.store(n, SeqCst);
    }

    /// Turns the next COMMIT into a rollback.
    pub fn refuse_commit(&self) {
        FIRED.store(0, SeqCst);
        REFUSE.store(true, SeqCst);
    }

    /// Makes the n-th write to a file fail with this code.
    pub fn fail_write(&self, n: i64, code: c_int) {
        FIRED.store(0, SeqCst);
        WRITE_CODE.store(code.into(), SeqCst);
        WRITES.store(n, SeqCst);
    }

    /// Makes the n-th fsync fail.
    pub fn fail_sync(&self, n: i64) {
        FIRED.store(0, SeqCst);
        SYNCS.store(n, SeqCst);
    }

    /// Ends the fault. Returns whether it occurred.
    pub fn fired(&self) -> bool {
        disarm();
        FIRED.load(SeqCst) > 0
    }
}

fn disarm() {
    STEPS.store(-1, SeqCst);
    WRITES.store(-1, SeqCst);
    SYNCS.store(-1, SeqCst);
    REFUSE.store(false, SeqCst);
}

/// Counts down. True once, at zero.
fn strikes(counter: &AtomicI64) -> bool {
    let hit = counter.load(SeqCst) >= 0 && counter.fetch_sub(1, SeqCst) == 0;
    if hit {
        FIRED.fetch_add(1, SeqCst);
    }
    hit
}

unsafe fn install() {
    // SAFETY: SQLite's own file system stays for good, and ours is leaked, so it does too.
    unsafe {
        let real = ffi::sqlite3_vfs_find(ptr::null());
        REAL.store(real, SeqCst);
        let ours = Box::leak(Box::new(*real));
        ours.zName = c"faults".as_ptr();
        ours.pNext = ptr::null_mut();
        ours.xOpen = Some(open);
        assert_eq!(ffi::sqlite3_vfs_register(ours, 1), ffi::SQLITE_OK);
        assert_eq!(ffi::sqlite3_auto_extension(Some(opened)), ffi::SQLITE_OK);
    }
}

unsafe extern "C" fn opened(db: *mut ffi::sqlite3, _: *mut *mut c_char, _: *const ffi::sqlite3_api_routines) -> c_int {
    if WRITER.compare_exchange(ptr::null_mut(), db, SeqCst, SeqCst).is_ok() {
        // SAFETY: SQLite calls this with a connection that is open.
        unsafe {
            ffi::sqlite3_progress_handler(db, 1, Some(progress), db.cast());
            ffi::sqlite3_commit_hook(db, Some(commit), ptr::null_mut());
        }
    }
    ffi::SQLITE_OK
}

/// Nothing is interrupted outside a transaction. SQLite asks once more after a COMMIT that has succeeded, and an error
/// there would be artificial.
unsafe extern "C" fn progress(db: *mut c_void) -> c_int {
    // SAFETY: the argument is the connection that the handler was set on.
    let inside = unsafe { ffi::sqlite3_get_autocommit(db.cast()) } == 0;
    (inside && strikes(&STEPS)).into()
}

unsafe extern "C" fn commit(_: *mut c_void) -> c_int {
    let refused = REFUSE.swap(false, SeqCst);
    FIRED.fetch_add(refused.into(), SeqCst);
    refused.into()
}

unsafe extern "C" fn open(
    _: *mut ffi::sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: SQLite's arguments go on to its own function, which leaves a table of methods or none.
    unsafe {
        let real = REAL.load(SeqCst);
        let code = ((*real).xOpen.unwrap())(real, name, file, flags, out);
        if code == ffi::SQLITE_OK && !(*file).pMethods.is_null() {
            (*file).pMethods = ours((*file).pMethods);
        }
        code
    }
}

/// Our table, with our writes and fsyncs, in front of a real one. Real tables differ in how they lock.
fn ours(real: *const ffi::sqlite3_io_methods) -> *const ffi::sqlite3_io_methods {
    let mut known = METHODS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(found) = known.iter().find(|it| ptr::eq(it.0, real)) {
        return found.1;
    }
    // SAFETY: SQLite's tables of methods are static.
    let table: &'static ffi::sqlite3_io_methods = unsafe { &*real };
    let ours = ffi::sqlite3_io_methods { xWrite: Some(write), xSync: Some(sync), ..*table };
    let ours: &'static ffi::sqlite3_io_methods = Box::leak(Box::new(ours));
    REAL_METHODS.store(real.cast_mut(), SeqCst);
    known.push((table, ours));
    ours
}

unsafe extern "C" fn write(file: *mut ffi::sqlite3_file, data: *const c_void, size: c_int, at: i64) -> c_int {
    if strikes(&WRITES) {
        return WRITE_CODE.load(SeqCst) as c_int;
    }
    // SAFETY: our table stands only before a real one, whose function gets the same arguments.
    unsafe { ((*REAL_METHODS.load(SeqCst)).xWrite.unwrap())(file, data, size, at) }
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, flags: c_int) -> c_int {
    if strikes(&SYNCS) {
        return ffi::SQLITE_IOERR_FSYNC;
    }
    // SAFETY: as in `write`.
    unsafe { ((*REAL_METHODS.load(SeqCst)).xSync.unwrap())(file, flags) }
}
