//! Topics of plain data.

use core::fmt;
use core::marker::PhantomData;

use twixt_address::BusName;
use twixt_os::{Deadline, Result, Wait};

use crate::site::{Options, TypeName};
use crate::topic::{Publisher, Subscriber, SubscriberOptions};
use crate::wait::Waiting;
use crate::words::copy_in;

use super::{Plain, another_length};

/// A [`Publisher`] of values of a type. [`plain!`](crate::plain) says what types there are.
pub struct TypedPublisher<T> {
    inner: Publisher,
    of: PhantomData<fn(&T)>,
}

/// A [`Subscriber`] to values of a type.
pub struct TypedSubscriber<T> {
    inner: Subscriber,
    of: PhantomData<fn() -> T>,
}

impl<T: Plain> TypedPublisher<T> {
    /// As [`Publisher::open`].
    ///
    /// # Errors
    /// As [`Publisher::open`]; [`Malformed`](twixt_os::ErrorKind::Malformed), with both types, if it is there with another one.
    pub fn open(name: &BusName, options: &Options) -> Result<Self> {
        Self::open_waiting(name, options, Waiting::Adaptive)
    }

    /// As [`Publisher::open_waiting`].
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_waiting(name: &BusName, options: &Options, waiting: Waiting) -> Result<Self> {
        let options = options.clone().type_name(TypeName::of::<T>());
        Publisher::open_waiting(name, &options, waiting).map(|inner| Self { inner, of: PhantomData })
    }

    /// As [`Publisher::publish`].
    ///
    /// # Errors
    /// As [`Publisher::publish`].
    #[inline]
    pub fn publish(&self, value: &T) -> Result<()> {
        self.publish_wait(value, Wait::forever())
    }

    /// As [`Publisher::try_publish`].
    ///
    /// # Errors
    /// As [`Publisher::try_publish`].
    #[inline]
    pub fn try_publish(&self, value: &T) -> Result<()> {
        self.publish_wait(value, Wait::never())
    }

    /// As [`Publisher::publish_deadline`].
    ///
    /// # Errors
    /// As [`Publisher::publish_deadline`].
    pub fn publish_deadline(&self, value: &T, deadline: Deadline) -> Result<()> {
        self.publish_wait(value, Wait::until(deadline))
    }

    /// As [`Publisher::publish_wait`].
    ///
    /// # Errors
    /// As [`Publisher::publish_wait`].
    #[inline]
    pub fn publish_wait(&self, value: &T, wait: Wait) -> Result<()> {
        self.inner.publish_with(size_of::<T>(), wait, |words| copy_in(words, value.as_bytes()))
    }

    /// The publisher of bytes.
    pub fn inner(&self) -> &Publisher {
        &self.inner
    }
}

impl<T: Plain> TypedSubscriber<T> {
    /// As [`Subscriber::open`].
    ///
    /// # Errors
    /// As [`Subscriber::open`]; [`Malformed`](twixt_os::ErrorKind::Malformed), with both types, if it is there with another
    /// one.
    pub fn open(name: &BusName, options: &Options) -> Result<Self> {
        Self::open_with(name, options, SubscriberOptions::new())
    }

    /// As [`Subscriber::open_with`].
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(name: &BusName, options: &Options, how: SubscriberOptions) -> Result<Self> {
        let options = options.clone().type_name(TypeName::of::<T>());
        Subscriber::open_with(name, &options, how).map(|inner| Self { inner, of: PhantomData })
    }

    /// As [`Subscriber::receive`].
    ///
    /// # Errors
    /// As [`receive_into`](Self::receive_into).
    #[inline]
    pub fn receive(&mut self) -> Result<T> {
        self.receive_wait(Wait::forever())
    }

    /// As [`Subscriber::try_receive`].
    ///
    /// # Errors
    /// As [`receive_into`](Self::receive_into).
    #[inline]
    pub fn try_receive(&mut self) -> Result<T> {
        self.receive_wait(Wait::never())
    }

    /// As [`Subscriber::receive_deadline`].
    ///
    /// # Errors
    /// As [`receive_into`](Self::receive_into).
    pub fn receive_deadline(&mut self, deadline: Deadline) -> Result<T> {
        self.receive_wait(Wait::until(deadline))
    }

    /// As [`Subscriber::receive_wait`].
    ///
    /// # Errors
    /// As [`receive_into`](Self::receive_into).
    #[inline]
    pub fn receive_wait(&mut self, wait: Wait) -> Result<T> {
        let mut value = T::new_zeroed();
        self.receive_into(&mut value, wait).map(|()| value)
    }

    /// Receives a value into one that is there: for those that are large.
    ///
    /// # Errors
    /// As [`Subscriber::receive_wait`] and [`Sample::read`](crate::Sample::read), after which the value may be any;
    /// [`Malformed`](twixt_os::ErrorKind::Malformed) for a message of another length, which is passed over.
    #[inline]
    pub fn receive_into(&mut self, value: &mut T, wait: Wait) -> Result<()> {
        let mut sample = self.inner.receive_wait(wait)?;
        if sample.len() != size_of::<T>() {
            let len = sample.len();
            drop(sample);
            return Err(another_length::<T>("receive from", self.inner.object(), len));
        }
        sample.read(value.as_mut_bytes()).map(drop)
    }

    /// The subscriber to bytes: for events, the doorbell and the counters.
    pub fn inner(&mut self) -> &mut Subscriber {
        &mut self.inner
    }
}

impl<T> fmt::Debug for TypedPublisher<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TypedPublisher").field(&self.inner).finish()
    }
}

impl<T> fmt::Debug for TypedSubscriber<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TypedSubscriber").field(&self.inner).finish()
    }
}
