// Boost.Interprocess and Boost.Lockfree, as functions that C can call.
//
// No exception leaves any of them: what is thrown becomes a null pointer, or -1. What it said goes to `why`, which has
// room for `WHY` bytes.

#include <boost/interprocess/ipc/message_queue.hpp>
#include <boost/interprocess/managed_shared_memory.hpp>
#include <boost/interprocess/shared_memory_object.hpp>
#include <boost/lockfree/spsc_queue.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>

namespace ipc = boost::interprocess;

namespace {

constexpr std::size_t WHY = 256;

void tell(char *why, const char *what) {
    std::strncpy(why, what, WHY - 1);
    why[WHY - 1] = 0;
}

template <typename Body, typename Result> Result guarded(char *why, Result otherwise, Body body) noexcept {
    try {
        return body();
    } catch (const std::exception &error) {
        tell(why, error.what());
    } catch (...) {
        tell(why, "something was thrown that is no exception");
    }
    return otherwise;
}

// A message in a queue whose elements have room for `Room` bytes. Only those that it has are copied.
template <std::size_t Room> struct Slot {
    std::uint32_t length = 0;
    unsigned char bytes[Room];

    Slot() {}
    Slot(const Slot &other) { *this = other; }

    Slot &operator=(const Slot &other) {
        length = other.length;
        std::memcpy(bytes, other.bytes, length);
        return *this;
    }
};

using Check = void (*)(void *, const unsigned char *, std::size_t);

struct Ring {
    virtual ~Ring() {}
    virtual unsigned char *room() = 0;
    virtual bool push() = 0;
    virtual std::size_t consume(Check check, void *state) = 0;
};

// A queue of one producer and one consumer whose elements are in the segment, as many as the segment has room for.
template <std::size_t Room> struct RingOf final : Ring {
    using Element = Slot<Room>;
    using Allocator = ipc::allocator<Element, ipc::managed_shared_memory::segment_manager>;
    using Queue = boost::lockfree::spsc_queue<Element, boost::lockfree::allocator<Allocator>>;

    ipc::managed_shared_memory segment;
    Queue *queue;
    Element next;

    RingOf(const char *name, std::size_t slots) {
        const std::size_t size = (slots + 1) * sizeof(Element) + 65536;
        segment = ipc::managed_shared_memory(ipc::create_only, name, size);
        Allocator allocator(segment.get_segment_manager());
        queue = segment.construct<Queue>("queue")(slots, allocator);
    }

    explicit RingOf(const char *name) : segment(ipc::open_only, name) {
        queue = segment.find<Queue>("queue").first;
        if (!queue) {
            throw ipc::interprocess_exception("the segment has no queue");
        }
    }

    unsigned char *room() override { return next.bytes; }

    void set_length(std::size_t length) {
        next.length = static_cast<std::uint32_t>(length);
        std::memset(next.bytes, 0, Room);
    }

    bool push() override { return queue->push(next); }

    std::size_t consume(Check check, void *state) override {
        // All that is there, in place.
        return queue->consume_all([&](const Element &it) { check(state, it.bytes, it.length); });
    }
};

template <std::size_t Room> Ring *ring_of(const char *name, std::size_t slots, std::size_t length) {
    auto *ring = slots ? new RingOf<Room>(name, slots) : new RingOf<Room>(name);
    ring->set_length(length);
    return ring;
}

} // namespace

extern "C" {

// Makes a message queue if `messages` is not 0, and opens it otherwise.
void *peers_boost_queue(const char *name, std::size_t messages, std::size_t length, char *why) {
    return guarded(why, static_cast<void *>(nullptr), [&]() -> void * {
        return messages ? new ipc::message_queue(ipc::create_only, name, messages, length)
                        : new ipc::message_queue(ipc::open_only, name);
    });
}

void peers_boost_queue_close(void *queue) { delete static_cast<ipc::message_queue *>(queue); }

// 1 if it went, 0 if it would have to wait, -1 if it failed.
int peers_boost_queue_send(void *queue, const void *bytes, std::size_t length, int waits, char *why) {
    return guarded(why, -1, [&] {
        auto *it = static_cast<ipc::message_queue *>(queue);
        if (!waits) {
            return it->try_send(bytes, length, 0) ? 1 : 0;
        }
        it->send(bytes, length, 0);
        return 1;
    });
}

// The same; how long it was goes to `length`.
int peers_boost_queue_receive(void *queue, void *bytes, std::size_t room, std::size_t *length, int waits,
                              char *why) {
    return guarded(why, -1, [&] {
        auto *it = static_cast<ipc::message_queue *>(queue);
        ipc::message_queue::size_type received = 0;
        unsigned priority = 0;
        if (!waits) {
            if (!it->try_receive(bytes, room, received, priority)) {
                return 0;
            }
        } else {
            it->receive(bytes, room, received, priority);
        }
        *length = received;
        return 1;
    });
}

// Removes a queue's or a segment's shared memory, if there is such.
void peers_boost_remove(const char *name) { ipc::shared_memory_object::remove(name); }

// Makes a ring for messages of that length if `slots` is not 0, and opens it otherwise.
void *peers_boost_ring(const char *name, std::size_t slots, std::size_t length, char *why) {
    return guarded(why, static_cast<void *>(nullptr), [&]() -> void * {
        // How wide an element is, is part of the queue's type.
        if (length <= 60) {
            return ring_of<60>(name, slots, length);
        } else if (length <= 64) {
            return ring_of<64>(name, slots, length);
        } else if (length <= 1024) {
            return ring_of<1024>(name, slots, length);
        } else if (length <= 16384) {
            return ring_of<16384>(name, slots, length);
        } else if (length <= 65536) {
            return ring_of<65536>(name, slots, length);
        } else if (length <= 1 << 20) {
            return ring_of<1 << 20>(name, slots, length);
        }
        throw ipc::interprocess_exception("there is no ring for messages of that length");
    });
}

void peers_boost_ring_close(void *ring) { delete static_cast<Ring *>(ring); }

// Where the next message is to be written.
void *peers_boost_ring_room(void *ring) { return static_cast<Ring *>(ring)->room(); }

// Whether the message that was written there went.
int peers_boost_ring_push(void *ring) { return static_cast<Ring *>(ring)->push(); }

// Gives each message that is there to `check`, in place, and says how many there were.
std::size_t peers_boost_ring_consume(void *ring, Check check, void *state) {
    return static_cast<Ring *>(ring)->consume(check, state);
}
}
