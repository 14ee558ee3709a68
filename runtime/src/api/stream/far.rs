//! Streams that are elsewhere: in a worker, those that the driver has for it.
//!
//! To the worker such a stream is an object of the driver's, to which it has a ref, and whose value never comes. What is
//! done with the stream goes to the driver as a call does, under the name of what produces it: first a [`Wish`], and
//! for all but the first the object. To ask for the next item is a call like others, so who waits for that lays its CPU
//! down, and a deadlock is found. What comes of it is the item's id; the value comes when somebody asks.
//!
//! | the reader                | in the driver                                                      |
//! |---------------------------|--------------------------------------------------------------------|
//! | reads                     | the call is complete when an item is there, or the producer's end  |
//! | cancels, drops the stream | does the same to the stream that the object is                     |
//! | dies with its worker      | the object goes with what that was lent, and the stream with it    |

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use super::{End, ObjectStream};
use crate::api::crossing;
use crate::api::port::Way;
use crate::cluster::argument::{Asked, Forwarded, ForwardedArgument, Packing, unfit};
use crate::cluster::coder;
use crate::cluster::registry::Registered;
use crate::cluster::upstream::{self, Upstream};
use crate::error::{Error, Result};
use crate::function::Call;
use crate::local::arguments::{Awaited, Refs, Then};
use crate::local::cell::{AnyRef, Promise, Ref};
use crate::local::place::Place;
use crate::local::stream::{Next, Shared};
use crate::local::{current, default};
use crate::wire;

/// What a worker asks of the driver that concerns a stream.
#[derive(Serialize, Deserialize)]
enum Wish {
    /// Call what produces it, with the further arguments.
    Begin { max_unread: Option<usize> },
    /// Do this to the stream that the further argument is.
    To(Deed),
}

#[derive(Serialize, Deserialize)]
enum Deed {
    /// Tell of the next item.
    Next,
    Cancel,
    /// Nobody reads it any more.
    Drop,
}

/// Where the wishes go that concern one stream.
pub(crate) struct To<T> {
    pub(crate) upstream: &'static dyn Upstream,
    pub(crate) registered: &'static Registered,
    /// How its items cross.
    pub(crate) way: Way<T>,
    pub(crate) call: Call,
}

impl<T: Send + Sync + 'static> To<T> {
    fn ask<R: Serialize + DeserializeOwned + Send + Sync + 'static>(
        &self,
        wish: &Wish,
        further: impl Fn(&mut Packing<'_>) -> Result<()>,
        options: Option<Asked>,
        place: &Place,
    ) -> Result<Ref<R>> {
        let pack = |packing: &mut Packing<'_>| {
            packing.value(wish)?;
            further(packing)
        };
        let Self { upstream, registered, call, .. } = *self;
        crossing::send_upstream(upstream, registered, pack, Way::new(), options, call, place)
    }
}

/// Has the driver begin a stream; `pack` packs the arguments of what produces it.
///
/// # Errors
/// Those of packing.
pub(crate) fn begin<T: Send + Sync + 'static>(
    to: To<T>,
    max_unread: Option<usize>,
    options: Option<Asked>,
    pack: impl Fn(&mut Packing<'_>) -> Result<()>,
) -> Result<ObjectStream<T>> {
    let place = default::with_current(current::next_place);
    let lent = to.ask::<()>(&Wish::Begin { max_unread }, pack, options, &place)?;
    Ok(ObjectStream::of(End::Far(Far { to, lent: lent.into_any(), asked: None, ended: false })))
}

/// The reader's end of a stream that the driver has.
pub(crate) struct Far<T: Send + Sync + 'static> {
    to: To<T>,
    lent: AnyRef,
    /// What was asked for and has not been taken.
    asked: Option<Ref<Told>>,
    ended: bool,
}

impl<T: Send + Sync + 'static> Far<T> {
    pub(super) fn any(&self) -> &AnyRef {
        &self.lent
    }

    fn wish<R>(&self, deed: Deed) -> Result<Ref<R>>
    where
        R: Serialize + DeserializeOwned + Send + Sync + 'static,
    {
        self.to.ask(&Wish::To(deed), |packing| packing.object(&self.lent), None, &Place::ROOT)
    }

    pub(super) fn next(&mut self) -> Next<T> {
        if self.ended {
            return Next::End;
        }
        let asked = match self.asked.take().map_or_else(|| self.wish(Deed::Next), Ok) {
            Ok(asked) => asked,
            Err(why) => return self.break_off(why),
        };
        if !asked.any().is_complete() {
            let later = asked.any().clone();
            self.asked = Some(asked);
            return Next::Later(later);
        }
        match asked.share() {
            Ok(told) => match &told.0 {
                Some(Item::Given(given)) => Next::Item(given.take(&self.to)),
                _ => {
                    self.ended = true;
                    Next::End
                }
            },
            Err(why) => self.break_off(why),
        }
    }

    /// It cannot be read any further.
    fn break_off(&mut self, why: Error) -> Next<T> {
        self.ended = true;
        Next::Item(Ref::complete(Err(why.through(self.to.call)), self.to.call))
    }

    pub(super) fn cancel(&self) {
        // If it cannot be told, the driver is gone, and so is this process, soon.
        drop(self.wish::<()>(Deed::Cancel));
    }
}

impl<T: Send + Sync + 'static> Drop for Far<T> {
    fn drop(&mut self) {
        if !self.ended {
            // As above. Without it the driver would hear of it with what this process says next.
            drop(self.wish::<()>(Deed::Drop));
        }
    }
}

/// What is told of the next item: None, there is none.
struct Told(Option<Item>);

enum Item {
    /// In the driver.
    Here(AnyRef),
    /// In the worker.
    Given(Given),
}

/// The id of an item, as this process was given it.
struct Given {
    upstream: &'static dyn Upstream,
    id: Uuid,
    taken: AtomicBool,
}

impl Given {
    /// Makes a ref of it, once.
    fn take<T: Send + Sync + 'static>(&self, to: &To<T>) -> Ref<T> {
        self.taken.store(true, Ordering::Relaxed);
        crossing::import_new(self.upstream, self.id, to.way, to.call)
    }
}

impl Drop for Given {
    fn drop(&mut self) {
        if !*self.taken.get_mut() {
            self.upstream.let_go_once(self.id);
        }
    }
}

impl Serialize for Told {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let id = self.0.as_ref().map(|item| match item {
            Item::Here(any) => {
                let id = coder::id_of(any);
                wire::hold(id, || any.clone());
                id
            }
            Item::Given(given) => given.id,
        });
        id.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Told {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let Some(id) = Option::<Uuid>::deserialize(deserializer)? else { return Ok(Self(None)) };
        let to_driver = || serde::de::Error::custom("an item of a stream came to no worker");
        let upstream = upstream::to_owner().ok_or_else(to_driver)?;
        Ok(Self(Some(Item::Given(Given { upstream, id, taken: AtomicBool::new(false) }))))
    }
}

/// In the driver: a stream that a worker has, until it has dropped it.
struct Lent<T: Send + Sync + 'static>(Mutex<Option<ObjectStream<T>>>);

impl<T: Send + Sync + 'static> Lent<T> {
    fn lock(&self) -> MutexGuard<'_, Option<ObjectStream<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is next, as a call that is complete when that is known.
    fn next(&self, way: Way<T>, call: Call) -> Ref<Told> {
        let (asked, promise) = Ref::<Told>::promise(call, 0);
        coder::note::<Told>(asked.any());
        let ends = match &*self.lock() {
            Some(ObjectStream { end: End::Here(inlet), .. }) => {
                Some((Arc::clone(&inlet.shared), inlet.task.clone()))
            }
            _ => None,
        };
        match ends {
            Some((shared, task)) => {
                // So that whoever asks why this is pending finds the producer.
                let _ = asked.any().extra().producers.set(Box::new([task.clone()]));
                tell_next(shared, task, way, promise);
            }
            None => promise.complete(Ok(Told(None))),
        }
        asked
    }

    fn cancel(&self) {
        if let Some(stream) = &*self.lock() {
            stream.cancel();
        }
    }

    fn drop_stream(&self) {
        let stream = self.lock().take();
        drop(stream);
    }
}

/// Tells what `task` yields next, when it has.
fn tell_next<T: Send + Sync + 'static>(
    shared: Arc<Shared<T>>,
    task: AnyRef,
    way: Way<T>,
    promise: Promise<Told>,
) {
    match shared.next_of(&task) {
        Next::Item(item) => {
            (way.note)(item.any());
            promise.complete(Ok(Told(Some(Item::Here(item.into_any())))));
        }
        Next::End => promise.complete(Ok(Told(None))),
        Next::Later(later) => {
            let mut awaited = Refs::default();
            awaited.add(&later);
            let go_on = move || match later.is_failed() {
                // Somebody else asks by now: who asks twice is told once.
                true => promise.complete(Ok(Told(None))),
                false => tell_next(shared, task, way, promise),
            };
            Awaited::when_ready(awaited, Then::Run(None, Box::new(go_on)));
        }
    }
}

/// In the driver: does what a worker asks for; `begin` begins a stream.
pub(crate) fn serve<T: Send + Sync + 'static>(
    mut forwarded: Forwarded,
    way: Way<T>,
    call: Call,
    begin: impl FnOnce(Forwarded, Option<usize>) -> Result<ObjectStream<T>>,
) -> AnyRef {
    let id = forwarded.id;
    let answer = match ForwardedArgument::take_first(&mut forwarded.arguments) {
        Ok(Wish::Begin { max_unread }) => {
            let begun = begin(forwarded, max_unread);
            let stream = begun.unwrap_or_else(|why| ObjectStream::failed(why, call));
            Ref::complete(Ok(Lent(Mutex::new(Some(stream)))), call).into_any()
        }
        Ok(Wish::To(deed)) => answer(&deed, &forwarded.arguments, way, call),
        Err(why) => Ref::<()>::complete(Err(why), call).into_any(),
    };
    coder::named(&answer, id);
    answer
}

/// Does with a stream what is done with one that has begun.
fn answer<T: Send + Sync + 'static>(
    deed: &Deed,
    arguments: &[ForwardedArgument],
    way: Way<T>,
    call: Call,
) -> AnyRef {
    let lent = match arguments {
        [ForwardedArgument::Object(any)] => Ref::<Lent<T>>::from_any(any.clone()),
        _ => None,
    };
    let lent = lent.ok_or_else(|| unfit("what is no stream")).and_then(|lent| lent.share());
    let lent = match lent {
        Ok(lent) => lent,
        Err(why) => return Ref::<()>::complete(Err(why), call).into_any(),
    };
    match deed {
        Deed::Next => return lent.next(way, call).into_any(),
        Deed::Cancel => lent.cancel(),
        Deed::Drop => lent.drop_stream(),
    }
    let done = Ref::complete(Ok(()), call);
    coder::note::<()>(done.any());
    done.into_any()
}
