//! Newest values of plain data.

use core::fmt;
use core::marker::PhantomData;

use twixt_address::BusName;
use twixt_os::Result;

use crate::latest::{LatestReader, LatestWriter, Version};
use crate::site::{Options, TypeName};
use crate::wait::Waiting;

use super::{Plain, another_length};

/// A [`LatestWriter`] of values of a type. [`plain!`](crate::plain) says what types there are.
pub struct TypedLatestWriter<T> {
    inner: LatestWriter,
    of: PhantomData<fn(&T)>,
}

/// A [`LatestReader`] of values of a type.
pub struct TypedLatestReader<T> {
    inner: LatestReader,
    of: PhantomData<fn() -> T>,
}

/// With the type, and buffers of its size.
fn options_of<T: Plain>(options: &Options) -> Options {
    options.clone().type_name(TypeName::of::<T>()).message_size(size_of::<T>().max(1) as u64)
}

impl<T: Plain> TypedLatestWriter<T> {
    /// As [`LatestWriter::open`], with buffers of the type's size.
    ///
    /// # Errors
    /// As [`LatestWriter::open`]; [`Malformed`](twixt_os::ErrorKind::Malformed), with both types, if it is there with another
    /// one of that size.
    pub fn open(name: &BusName, options: &Options) -> Result<Self> {
        LatestWriter::open(name, &options_of::<T>(options)).map(|inner| Self { inner, of: PhantomData })
    }

    /// As [`LatestWriter::write`].
    ///
    /// # Errors
    /// As [`LatestWriter::write`].
    #[inline]
    pub fn write(&mut self, value: &T) -> Result<Version> {
        self.inner.write(value.as_bytes())
    }

    /// The writer of bytes.
    pub fn inner(&mut self) -> &mut LatestWriter {
        &mut self.inner
    }
}

impl<T: Plain> TypedLatestReader<T> {
    /// As [`LatestReader::open`].
    ///
    /// # Errors
    /// As [`LatestReader::open`]; [`Malformed`](twixt_os::ErrorKind::Malformed), with both types, if it is there with another
    /// one of that size.
    pub fn open(name: &BusName, options: &Options) -> Result<Self> {
        Self::open_waiting(name, options, Waiting::Adaptive)
    }

    /// As [`LatestReader::open_waiting`].
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_waiting(name: &BusName, options: &Options, waiting: Waiting) -> Result<Self> {
        let inner = LatestReader::open_waiting(name, &options_of::<T>(options), waiting)?;
        Ok(Self { inner, of: PhantomData })
    }

    /// The newest value and its version. `None` if there is none yet.
    ///
    /// # Errors
    /// As [`read_into`](Self::read_into).
    #[inline]
    pub fn read(&mut self) -> Result<Option<(Version, T)>> {
        let mut value = T::new_zeroed();
        Ok(self.read_into(&mut value)?.map(|version| (version, value)))
    }

    /// Reads the newest value into one that is there: for those that are large. Without a version, or with an error, that may be
    /// any.
    ///
    /// # Errors
    /// As [`LatestReader::read`]; [`Malformed`](twixt_os::ErrorKind::Malformed) for a value of another length.
    #[inline]
    pub fn read_into(&mut self, value: &mut T) -> Result<Option<Version>> {
        let mut found = size_of::<T>();
        let version = self.inner.read_with(|view, len| {
            found = len;
            if len == size_of::<T>() {
                view.copy_to(0, value.as_mut_bytes());
            }
        })?;
        if found != size_of::<T>() {
            return Err(another_length::<T>("read", self.inner.object(), found));
        }
        Ok(version)
    }

    /// The reader of bytes: for waiting, the doorbell and the counters.
    pub fn inner(&mut self) -> &mut LatestReader {
        &mut self.inner
    }
}

impl<T> fmt::Debug for TypedLatestWriter<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TypedLatestWriter").field(&self.inner).finish()
    }
}

impl<T> fmt::Debug for TypedLatestReader<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TypedLatestReader").field(&self.inner).finish()
    }
}
