/* Tells who calls, as STS does. */
#include "deploy/lambda-local/server/api.h"

#include "deploy/lambda-local/config.h"

#include <string.h>

#define ACTION    "Action=GetCallerIdentity"
#define NAMESPACE "https://sts.amazonaws.com/doc/2011-06-15/"

/* The body is a form; members other than the action change nothing. */
static bool is_asked_for(struct view form)
{
    struct view pair;

    while (view_split(&form, '&', &pair))
        if (view_equal_string(pair, ACTION))
            return true;
    return false;
}

static void answer_xml(struct api_call *call, int status, struct buffer *body)
{
    struct incoming_header header = {VIEW("Content-Type"), VIEW("text/xml")};

    api_answer_bytes(call, status, &header, 1, buffer_view(body));
    buffer_release(body);
}

static void append_escaped(struct buffer *out, struct view text)
{
    for (size_t i = 0; i < text.length; i++)
        if (strchr("<>&", text.data[i]) || (unsigned char)text.data[i] < ' ')
            buffer_append_format(out, "&#%d;", text.data[i] ? (unsigned char)text.data[i] : ' ');
        else
            buffer_append_byte(out, text.data[i]);
}

void api_refuse_sts(struct api_call *call, int status, const char *code, struct view message)
{
    struct buffer body;

    buffer_init(&body, 65536);
    buffer_append_format(&body,
                         "<ErrorResponse xmlns=\"" NAMESPACE "\"><Error><Type>Sender</Type>"
                         "<Code>%s</Code><Message>",
                         code);
    append_escaped(&body, message);
    buffer_append_format(&body, "</Message></Error><RequestId>%s</RequestId></ErrorResponse>\n",
                         call->request_id);
    answer_xml(call, status, &body);
}

void caller_identity(struct api_call *call)
{
    struct buffer body;

    if (!is_asked_for(buffer_view(&call->body))) {
        api_refuse_sts(call, 400, "InvalidAction",
                       VIEW("Could not find operation; lambda-local knows GetCallerIdentity."));
        return;
    }
    buffer_init(&body, 4096);
    buffer_append_format(&body,
                         "<GetCallerIdentityResponse xmlns=\"" NAMESPACE
                         "\"><GetCallerIdentityResult>"
                         "<Arn>arn:aws:iam::" CONFIG_ACCOUNT ":user/local</Arn>"
                         "<UserId>AIDALOCAL</UserId><Account>" CONFIG_ACCOUNT "</Account>"
                         "</GetCallerIdentityResult><ResponseMetadata><RequestId>%s</RequestId>"
                         "</ResponseMetadata></GetCallerIdentityResponse>\n",
                         call->request_id);
    answer_xml(call, 200, &body);
}
