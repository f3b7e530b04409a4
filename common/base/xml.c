/* Walks XML documents with expat and tells the text of each element by its path. */
#include "common/base/xml.h"

#include "common/base/crypto.h"

#include <expat.h>
#include <limits.h>

struct walk {
    XML_Parser parser;
    bool (*on_text)(struct view path, struct view text, void *context);
    void *context;
    struct buffer path, text;
    size_t ends[XML_MAX_DEPTH]; /* of the path without the element at that depth */
    unsigned depth;
    bool leaf; /* no element has begun in this one */
    bool stopped;
    bool wrong;
};

static void refuse(struct walk *walk)
{
    walk->wrong = true;
    XML_StopParser(walk->parser, XML_FALSE);
}

static void XMLCALL on_start(void *context, const XML_Char *name, const XML_Char **attributes)
{
    struct walk *walk = context;
    const char *local = strrchr(name, ':');

    (void)attributes;
    if (walk->depth == XML_MAX_DEPTH) {
        refuse(walk);
        return;
    }
    walk->ends[walk->depth++] = walk->path.length;
    if (walk->path.length)
        buffer_append_byte(&walk->path, '/');
    buffer_append_string(&walk->path, local ? local + 1 : name);
    if (walk->path.error)
        refuse(walk);
    buffer_clear(&walk->text);
    walk->leaf = true;
}

static void XMLCALL on_end(void *context, const XML_Char *name)
{
    struct walk *walk = context;

    (void)name;
    if (walk->wrong) /* the end of an empty element is told even then */
        return;
    if (walk->leaf &&
        !walk->on_text(buffer_view(&walk->path), buffer_view(&walk->text), walk->context)) {
        walk->stopped = true;
        XML_StopParser(walk->parser, XML_FALSE);
    }
    walk->leaf = false;
    walk->path.length = walk->ends[--walk->depth];
}

static void XMLCALL on_characters(void *context, const XML_Char *text, int length)
{
    struct walk *walk = context;

    if (walk->leaf)
        buffer_append(&walk->text, text, (size_t)length);
}

static void XMLCALL on_doctype(void *context, const XML_Char *name, const XML_Char *system_id,
                               const XML_Char *public_id, int has_internal_subset)
{
    (void)name;
    (void)system_id;
    (void)public_id;
    (void)has_internal_subset;
    refuse(context);
}

enum error xml_read(struct view document,
                    bool (*on_text)(struct view path, struct view text, void *context),
                    void *context)
{
    struct walk walk = {.on_text = on_text, .context = context};

    if (document.length > INT_MAX)
        return ERROR_TOO_BIG;
    walk.parser = XML_ParserCreate(NULL);
    REQUIRE(walk.parser != NULL);
    buffer_init(&walk.path, XML_MAX_PATH);
    buffer_init(&walk.text, document.length * 3 + 4); /* other encodings grow as UTF-8 */
    XML_SetUserData(walk.parser, &walk);
    XML_SetElementHandler(walk.parser, on_start, on_end);
    XML_SetCharacterDataHandler(walk.parser, on_characters);
    XML_SetStartDoctypeDeclHandler(walk.parser, on_doctype);
    enum XML_Status status =
        XML_Parse(walk.parser, document.data ? document.data : "", (int)document.length, XML_TRUE);
    XML_ParserFree(walk.parser);
    if (walk.text.data)
        wipe(walk.text.data, walk.text.capacity); /* answers of STS hold keys */
    buffer_release(&walk.path);
    buffer_release(&walk.text);
    if (walk.stopped)
        return ERROR_NONE;
    return status == XML_STATUS_OK && !walk.wrong ? ERROR_NONE : ERROR_INVALID;
}
