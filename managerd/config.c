/* Reads managerd's options from the command line and the environment. */
#include "managerd/config.h"

#include "common/contract/host.h"
#include "managerd/proxies.h"

#include <stddef.h>
#include <string.h>

#define FIELD(name) offsetof(struct config, name)

static const struct option_row rows[] = {
    {"listen", OPTION_ADDRESS, FIELD(listen), "127.0.0.1:8081", 0, 0, false, NULL, NULL,
     "Address of the API."},
    {"tls-certificate-file", OPTION_STRING, FIELD(tls_certificate_file), NULL, 0, 0, false, NULL,
     NULL,
     "PEM file of the API's certificate, with its chain: the API then speaks TLS alone. This file "
     "and the next two are watched. Unset: no TLS."},
    {"tls-key-file", OPTION_STRING, FIELD(tls_key_file), NULL, 0, 0, false, NULL, NULL,
     "PEM file of that certificate's key. Unset: it is in the certificate's file."},
    {"tls-client-ca-file", OPTION_STRING, FIELD(tls_client_ca_file), NULL, 0, 0, false, NULL, NULL,
     "PEM file of the certificates that vouch for those of clients. Unset: clients are not asked "
     "for any."},
    {"tls-client-certificates", OPTION_STRING, FIELD(tls_client_certificates), "required", 0, 0,
     false, NULL, NULL,
     "With tls-client-ca-file: required, or optional (whoever shows none is let in)."},
    {"health-listen", OPTION_ADDRESS, FIELD(health_listen), NULL, 0, 0, false, NULL, NULL,
     "Address of /healthz and /readyz alone, without TLS, for probes. Unset: only with the API."},
    {"token", OPTION_STRING, FIELD(token), NULL, 0, 0, true, NULL, NULL,
     "The admin token; unset on a non-loopback address: one is made at first start and printed "
     "once."},
    {"data-dir", OPTION_STRING, FIELD(data_dir), "/var/lib/app-orchestrator", 0, 0, false,
     "ORCHESTRATOR_DATA_DIR", NULL, "Folder of state, routes, packages, keys and secrets."},
    {"base-domain", OPTION_STRING, FIELD(base_domain), "localhost", 0, 0, false, NULL,
     "ORCHESTRATOR_BASE_DOMAIN",
     "Apps are served at NAME.BASE_DOMAIN; a list; * takes any host's "
     "first label."},
    {"public-url", OPTION_STRING, FIELD(public_url), "http://localhost:8080", 0, 0, false, NULL,
     "ORCHESTRATOR_PUBLIC_URL", "Scheme and port under which the apps are reached."},
    {"path-routing", OPTION_BOOL, FIELD(path_routing), "false", 0, 0, false, NULL, NULL,
     "Publishes that apps are also served at /NAME/ of any host."},
    {"function-prefix", OPTION_STRING, FIELD(function_prefix), "", 0, 0, false, NULL, NULL,
     "Put before an app's name to make its function's name."},
    {"role", OPTION_STRING, FIELD(role), NULL, 0, 0, false, "AWS_LAMBDA_ROLE_ARN", NULL,
     "ARN of the role that new functions run with."},
    {"max-package-bytes", OPTION_BYTES, FIELD(max_package_bytes), "64M", 1024, 1 << 30, false, NULL,
     NULL, "Largest package."},
    {"max-uploads", OPTION_INTEGER, FIELD(max_uploads), "32", 1, 1000, false, NULL, NULL,
     "Packages that are uploaded at once; more: 503."},
    {"max-upload-bytes", OPTION_BYTES, FIELD(max_upload_bytes), "4G", 1 << 20, INT64_MAX / 4, false,
     NULL, NULL, "Disk that these may take together while they come; more: 503."},
    {"upload-free-bytes", OPTION_BYTES, FIELD(upload_free_bytes), "64M", 0, INT64_MAX / 4, false,
     NULL, NULL, "Disk that uploads leave free; when they would not: 507."},
    {"secret-key-file", OPTION_STRING, FIELD(secret_key_file), NULL, 0, 0, false, NULL, NULL,
     "File with 64 hex digits: the key for environment variables at rest, on a second line perhaps "
     "the one "
     "before it; unset: made once below keys/."},
    {"drain-ms", OPTION_INTEGER, FIELD(drain_ms), "-1", -1, 3600000, false, NULL, NULL,
     "How long a removed version's requests may still run, in ms; -1: its longest deadline."},
    {"max-operations", OPTION_INTEGER, FIELD(max_operations), "16", 1, 256, false, NULL, NULL,
     "Operations that run at once."},
    {"aws-control-rate", OPTION_INTEGER, FIELD(aws_control_rate), "15", 1, 1000, false, NULL, NULL,
     "Calls of Lambda's control API per second; AWS allows 15 for the whole account and region: "
     "less "
     "when others share them."},
    {"aws-get-rate", OPTION_INTEGER, FIELD(aws_get_rate), "100", 1, 1000, false, NULL, NULL,
     "GetFunction calls per second; AWS allows 100."},
    {"map-bytes", OPTION_BYTES, FIELD(map_bytes), "0", 0, INT64_MAX, false, NULL, NULL,
     "Largest size of each database; 0: 16 GiB."},
    {"keep-versions", OPTION_INTEGER, FIELD(keep_versions), "20", 0, 10000, false, NULL, NULL,
     "Newest versions of each app that are kept; older ones go, but never one that is needed; 0: "
     "all are kept."},
    {"keep-versions-for", OPTION_DURATION, FIELD(keep_versions_ms), "168h", 0,
     3650ll * 24 * 3600000, false, NULL, NULL, "How long every version is kept, however many."},
    {"proxies", OPTION_STRING, FIELD(proxies), "127.0.0.1:9080", 0, 0, false, NULL, NULL,
     "Admin addresses of all proxies (HOST:PORT), whose figures canaries are judged by: a list, of "
     "names all addresses; none: no canaries."},
    {"status-max-age", OPTION_DURATION, FIELD(status_max_age_ms), "10s", 100, 3600000, false, NULL,
     NULL, "How old what an app's status tells of AWS may be before AWS is looked at again."},
    {"jwks-interval", OPTION_DURATION, FIELD(jwks_interval_ms), "5m", 1000, 24 * 3600000, false,
     NULL, NULL, "How often the keys of token issuers are looked at."},
    {"jwks-max-age", OPTION_DURATION, FIELD(jwks_max_age_ms), "24h", 1000, 365ll * 24 * 3600000,
     false, NULL, NULL,
     "How long keys count whose issuer cannot be asked; then tokens signed by them are refused."},
    {"jwks-ca-file", OPTION_STRING, FIELD(jwks_ca_file), NULL, 0, 0, false, NULL, NULL,
     "Certificates (PEM) that token issuers are trusted by; unset: the system's."},
    {"jwks-allow", OPTION_STRING, FIELD(jwks_allow), "", 0, 0, false, NULL, NULL,
     "Addresses of token issuers that are refused otherwise; a list of: loopback (by plain HTTP "
     "too), link-local."},
    {"audit-max-age", OPTION_DURATION, FIELD(audit_max_age_ms), "9600h", 1000,
     100ll * 365 * 24 * 3600000, false, NULL, NULL, "How long records of the audit are kept."},
    {"audit-max-records", OPTION_INTEGER, FIELD(audit_max_records), "1000000", 10, 1000000000,
     false, NULL, NULL, "How many records of the audit are kept."},
    {"backup", OPTION_STRING, FIELD(backup), NULL, 0, 0, false, NULL, NULL,
     "Copies state into this folder, which must hold none yet, checks the copy, and ends; managerd "
     "may serve meanwhile."},
    {"verify", OPTION_STRING, FIELD(verify), NULL, 0, 0, false, NULL, NULL,
     "Checks the backup, or the state, in this folder, and ends; nobody may write to it "
     "meanwhile."},
    {"rescue", OPTION_STRING, FIELD(rescue), NULL, 0, 0, false, NULL, NULL,
     "Writes what is whole of a damaged state into this folder, which must hold none yet, and "
     "ends."},
    {"log-level", OPTION_STRING, FIELD(log_level), "info", 0, 0, false, NULL, NULL,
     "debug, info, warn or error."},
};

const struct option_table config_options = {
    .program = "managerd",
    .prefix = "MANAGERD",
    .summary = "The control plane: deploys apps on AWS Lambda and publishes their routes.",
    .rows = rows,
    .count = sizeof rows / sizeof rows[0],
};

static bool is_loopback(const char *address)
{
    return strncmp(address, "127.", 4) == 0 || strncmp(address, "[::1]", 5) == 0 ||
           strncmp(address, "localhost:", 10) == 0;
}

static bool split_base_domains(struct config *config, struct buffer *problem)
{
    char *rest = config->base_domain, *one;
    while ((one = strsep(&rest, ","))) {
        one += strspn(one, " ");
        for (char *end = one + strlen(one); end > one && end[-1] == ' ';)
            *--end = 0;
        if (!*one)
            continue;
        for (char *c = one; *c; c++)
            if (*c >= 'A' && *c <= 'Z')
                *c = (char)(*c - 'A' + 'a');
        struct buffer normal;
        buffer_init(&normal, HOST_MAX_BYTES);
        bool good = strcmp(one, "*") == 0 || (!host_normalize(view_of(one), &normal) &&
                                              view_equal_string(buffer_view(&normal), one));
        buffer_release(&normal);
        if (!good || config->base_domain_count == CONFIG_MAX_BASE_DOMAINS) {
            buffer_append_format(problem,
                                 "--base-domain (ORCHESTRATOR_BASE_DOMAIN): %s is no host name, or "
                                 "there are more than %d.",
                                 one, CONFIG_MAX_BASE_DOMAINS);
            return false;
        }
        config->base_domains[config->base_domain_count++] = one;
    }
    return true;
}

static bool check_tls(struct config *config, struct buffer *problem)
{
    const char *mode = config->tls_client_certificates, *wrong = NULL;
    config->tls_clients_required = strcmp(mode, "required") == 0;
    if (!config->tls_clients_required && strcmp(mode, "optional") != 0)
        wrong = "--tls-client-certificates (MANAGERD_TLS_CLIENT_CERTIFICATES): must be required or "
                "optional.";
    else if (config->tls_key_file && !config->tls_certificate_file)
        wrong = "--tls-key-file (MANAGERD_TLS_KEY_FILE): needs tls-certificate-file.";
    else if (config->tls_client_ca_file && !config->tls_certificate_file)
        wrong = "--tls-client-ca-file (MANAGERD_TLS_CLIENT_CA_FILE): needs tls-certificate-file.";
    if (wrong)
        buffer_append_string(problem, wrong);
    else if (config->tls_certificate_file && !config->tls_key_file)
        config->tls_key_file = view_duplicate(view_of(config->tls_certificate_file));
    return !wrong;
}

static bool check(struct config *config, struct buffer *problem)
{
    if (!!config->backup + !!config->verify + !!config->rescue > 1) {
        buffer_append_string(problem, "--backup, --verify and --rescue: only one at a time.");
        return false;
    }
    if (!log_level_parse(view_of(config->log_level), &config->level)) {
        buffer_append_string(problem, "--log-level (MANAGERD_LOG_LEVEL): must be debug, info, warn "
                                      "or error.");
        return false;
    }
    struct view url = view_of(config->public_url);
    if (!view_starts_with(url, VIEW("http://")) && !view_starts_with(url, VIEW("https://"))) {
        buffer_append_string(problem, "--public-url (ORCHESTRATOR_PUBLIC_URL): must begin with "
                                      "http:// or https://.");
        return false;
    }
    struct view rest = view_of(config->jwks_allow), word;
    while (view_split(&rest, ',', &word)) {
        word = view_trim(word);
        if (view_equal(word, VIEW("loopback"))) {
            config->jwks_allow_loopback = true;
        } else if (view_equal(word, VIEW("link-local"))) {
            config->jwks_allow_link_local = true;
        } else if (word.length) {
            buffer_append_string(problem, "--jwks-allow (MANAGERD_JWKS_ALLOW): must be a list of "
                                          "loopback and link-local.");
            return false;
        }
    }
    if (!proxies_valid(view_of(config->proxies))) {
        buffer_append_format(problem,
                             "--proxies (MANAGERD_PROXIES): must be a list of up to %d HOST:PORT, "
                             "separated by commas, or none.",
                             PROXIES_LISTED);
        return false;
    }
    if (config->token && strlen(config->token) < 8) {
        buffer_append_string(problem, "--token (MANAGERD_TOKEN): must have at least 8 characters.");
        return false;
    }
    config->loopback = is_loopback(config->listen);
    return check_tls(config, problem) && split_base_domains(config, problem);
}

enum option_action config_read(int argc, char **argv, struct config *config, struct buffer *problem)
{
    config->argc = argc;
    config->argv = argv;
    enum option_action action = option_read(&config_options, argc, argv, config, problem);
    if ((action == OPTION_RUN || action == OPTION_CHECK) && !check(config, problem))
        return OPTION_WRONG;
    return action;
}

enum error config_reread_secrets(struct config *config, struct buffer *problem)
{
    return option_reread_secrets(&config_options, config->argc, config->argv, config, problem);
}

void config_release(struct config *config)
{
    option_release(&config_options, config);
}
