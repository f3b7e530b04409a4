/* Takes function names apart and puts ARNs together. */
#include "deploy/lambda-local/function_name.h"

#include "deploy/lambda-local/config.h"

#include <stdio.h>
#include <string.h>

static bool word_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

static bool word_valid(struct view text, size_t most)
{
    if (text.length == 0 || text.length > most)
        return false;
    for (size_t i = 0; i < text.length; i++) {
        if (!word_character(text.data[i]))
            return false;
    }
    return true;
}

static bool digits_only(struct view text)
{
    for (size_t i = 0; i < text.length; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
    }
    return text.length > 0;
}

bool qualifier_valid(struct view text)
{
    return view_equal_string(text, "$LATEST") || word_valid(text, QUALIFIER_SIZE - 1);
}

bool alias_name_valid(struct view text)
{
    return word_valid(text, QUALIFIER_SIZE - 1) && !digits_only(text);
}

bool version_number_parse(struct view text, int64_t *number)
{
    uint64_t value;

    if (!digits_only(text) || view_to_u64(text, INT64_C(999999999999999999), &value) != ERROR_NONE)
        return false;
    *number = (int64_t)value;
    return value > 0 && text.data[0] != '0';
}

static bool copy_word(char *out, size_t size, struct view text)
{
    if (text.length >= size)
        return false;
    memcpy(out, text.data, text.length);
    out[text.length] = '\0';
    return true;
}

/* Splits at ':' into at most `most` parts; 0 when there are more. */
static size_t split_colons(struct view text, struct view *parts, size_t most)
{
    size_t count = 0;
    struct view part;

    while (view_split(&text, ':', &part)) {
        if (count == most)
            return 0;
        parts[count++] = part;
    }
    return count;
}

enum name_verdict function_name_parse(struct view text, struct function_name *out)
{
    struct view parts[8], region = VIEW(CONFIG_REGION), account = VIEW(CONFIG_ACCOUNT);
    size_t count, at = 0;

    memset(out, 0, sizeof *out);
    count = text.length > 0 && text.length <= 256 ? split_colons(text, parts, 8) : 0;
    if (count >= 7 && view_equal_string(parts[0], "arn")) { /* arn:aws:lambda:R:A:function:NAME */
        if (!view_starts_with(parts[1], VIEW("aws")) || !view_equal_string(parts[2], "lambda") ||
            !view_equal_string(parts[5], "function"))
            return NAME_MALFORMED;
        region = parts[3];
        account = parts[4];
        at = 6;
    } else if (count >= 3 && view_equal_string(parts[1], "function")) { /* A:function:NAME */
        account = parts[0];
        at = 2;
    } else if (count >= 2 && view_equal_string(parts[0], "function")) { /* function:NAME */
        at = 1;
    }
    if (count == 0 || count - at > 2 || !word_valid(parts[at], FUNCTION_NAME_SIZE - 1) ||
        !copy_word(out->name, sizeof out->name, parts[at]))
        return NAME_MALFORMED;
    if (count - at == 2 && (!qualifier_valid(parts[at + 1]) ||
                            !copy_word(out->qualifier, sizeof out->qualifier, parts[at + 1])))
        return NAME_MALFORMED;
    if (!digits_only(account) || account.length != 12)
        return NAME_MALFORMED;
    if (!view_equal_string(region, CONFIG_REGION))
        return NAME_OTHER_REGION;
    return view_equal_string(account, CONFIG_ACCOUNT) ? NAME_FINE : NAME_OTHER_ACCOUNT;
}

void function_arn(char out[FUNCTION_ARN_SIZE], const char *name, const char *qualifier)
{
    bool qualified = qualifier && *qualifier;

    snprintf(out, FUNCTION_ARN_SIZE,
             "arn:aws:lambda:" CONFIG_REGION ":" CONFIG_ACCOUNT ":function:%s%s%s", name,
             qualified ? ":" : "", qualified ? qualifier : "");
}
