/*
 * A cure for libevent 2.1.12, whose OpenSSL bufferevents tell of what was written in a later turn of the
 * loop. Who has added something since (an answer behind 100 Continue, the end of a stream behind a
 * piece) would take that for written too: evhttp would close over it, or leave it unsent.
 */
#ifndef COMMON_NET_TLS_WRITTEN_H
#define COMMON_NET_TLS_WRITTEN_H

struct bufferevent;

/* From now on the write callback that is set is called only while no more than the low mark is left to
 * write. It must be evhttp's. To be said again whenever evhttp has set its callbacks anew. */
void tls_written_mind(struct bufferevent *bufferevent);

#endif
