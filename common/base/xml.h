/*
 * The XML that AWS answers with (STS, S3), flattened. Only xml.c includes expat.
 *
 * Elements are told by their path from the root, without namespaces: "ErrorResponse/Error/Code". What
 * AWS never sends is ERROR_INVALID: a document type (and with it any entity of its own), more than
 * XML_MAX_DEPTH elements deep, paths beyond XML_MAX_PATH bytes.
 */
#ifndef COMMON_BASE_XML_H
#define COMMON_BASE_XML_H

#include "common/base/bytes.h"

#define XML_MAX_DEPTH 32
#define XML_MAX_PATH  512

/* Calls on_text at the end of each element that has no elements in it, in the document's order, with
 * its text, entities resolved, white space kept; both views are borrowed during the call. Stops early,
 * with ERROR_NONE, when it returns false. ERROR_INVALID: not well-formed. */
enum error xml_read(struct view document,
                    bool (*on_text)(struct view path, struct view text, void *context),
                    void *context) MUST_CHECK;

#endif
