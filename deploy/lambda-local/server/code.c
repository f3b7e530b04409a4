/* Takes a function's zip out of a request, refusing what AWS would refuse. */
#include "deploy/lambda-local/server/code.h"

#include "common/base/escape.h"
#include "deploy/lambda-local/package.h"

static bool present(const struct json *object, const char *name)
{
    const struct json *value = json_get(object, name);

    return value && json_type_of(value) != JSON_NULL;
}

bool code_read(struct api_call *call, const struct json *object, struct buffer *zip)
{
    struct view text;
    enum error error;

    buffer_init(zip, PACKAGE_MAX_BYTES);
    if (present(object, "ImageUri") || present(object, "S3Bucket") || present(object, "S3Key")) {
        api_refuse(call, REFUSAL_INVALID_PARAMETER,
                   "lambda-local takes code as a zip in the request (ZipFile), not from S3 or as "
                   "an image.");
        return false;
    }
    if (!json_get_string(object, "ZipFile", &text) || text.length == 0) {
        api_refuse(call, REFUSAL_INVALID_PARAMETER, "Please provide a source for function code.");
        return false;
    }
    error = base64_decode(zip, text);
    if (zip->error != ERROR_NONE) {
        api_refuse(call, REFUSAL_TOO_LARGE,
                   "Request must be smaller than %d bytes for the UpdateFunctionCode operation",
                   PACKAGE_MAX_BYTES);
        return false;
    }
    if (error) {
        api_refuse(call, REFUSAL_INVALID_CONTENT,
                   "Could not parse request body into json: ZipFile is not base64");
        return false;
    }
    return true;
}

static bool accepted(struct api_call *call, enum error error, const struct buffer *problem)
{
    if (error == ERROR_INVALID || error == ERROR_TOO_BIG || error == ERROR_UNSUPPORTED ||
        error == ERROR_DAMAGED || error == ERROR_TRUNCATED) {
        api_refuse(call, REFUSAL_INVALID_PARAMETER, "Could not unzip uploaded file. %.*s",
                   VIEW_FORMAT(buffer_view(problem)));
        return false;
    }
    return !api_failed(call, error, "The package could not be stored");
}

bool code_store(struct api_call *call, struct function *function, struct view zip,
                struct code **code)
{
    struct buffer problem;
    bool good;

    buffer_init(&problem, 2048);
    good = accepted(call, package_store(function, zip, code, &problem), &problem);
    buffer_release(&problem);
    return good;
}

bool code_check(struct api_call *call, struct view zip)
{
    struct buffer problem;
    bool good;

    buffer_init(&problem, 2048);
    good = accepted(call, package_check(zip, &problem), &problem);
    buffer_release(&problem);
    return good;
}

void code_describe(struct json *configuration, struct view zip)
{
    uint8_t digest[SHA256_BYTES];
    struct buffer text;

    sha256(zip, digest);
    buffer_init(&text, 128);
    base64_encode(&text, digest, sizeof digest);
    json_set_string(configuration, "CodeSha256", buffer_view(&text));
    json_set_integer(configuration, "CodeSize", (int64_t)zip.length);
    buffer_release(&text);
}
