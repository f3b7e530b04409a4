/* Tells evhttp that all is written over TLS only when it is. */
#include "common/net/tls_written.h"

#include "common/base/error.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

/* Always the same function; a bufferevent has room for one argument only, which is evhttp's. */
static _Thread_local bufferevent_data_cb evhttp_on_write;

static void on_written(struct bufferevent *bufferevent, void *context)
{
    size_t low, high;

    REQUIRE(bufferevent_getwatermark(bufferevent, EV_WRITE, &low, &high) == 0);
    if (evbuffer_get_length(bufferevent_get_output(bufferevent)) <= low)
        evhttp_on_write(bufferevent, context);
}

void tls_written_mind(struct bufferevent *bufferevent)
{
    bufferevent_data_cb on_read, on_write;
    bufferevent_event_cb on_event;
    void *context;

    bufferevent_getcb(bufferevent, &on_read, &on_write, &on_event, &context);
    if (on_write == on_written || !on_write)
        return;
    REQUIRE(!evhttp_on_write || evhttp_on_write == on_write);
    evhttp_on_write = on_write;
    bufferevent_setcb(bufferevent, on_read, on_written, on_event, context);
}
