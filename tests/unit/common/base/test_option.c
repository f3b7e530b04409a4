/* Tests of options: their sources, which goes first, what is refused, and the help. */
#include "tests/unit/common/base/check.h"

#include <unistd.h>

#include "common/base/file.h"
#include "common/base/option.h"

struct config {
    char *name;
    int64_t workers;
    int64_t body;
    int64_t patience_ms;
    bool quiet;
    char *listen;
    char *token;
    char *domain;
    int64_t offset;
};

static const struct option_row rows[] = {
    {"name", OPTION_STRING, offsetof(struct config, name), NULL, 0, 0, false, NULL, NULL,
     "A name | with a bar."},
    {"workers", OPTION_INTEGER, offsetof(struct config, workers), "2", 1, 64, false, NULL, NULL,
     "Worker threads."},
    {"max-body", OPTION_BYTES, offsetof(struct config, body), "6M", 1024, 1073741824, false, NULL,
     NULL, "Most bytes of a body."},
    {"patience", OPTION_DURATION, offsetof(struct config, patience_ms), "15s", 0, 3600000, false,
     NULL, NULL, "How long to wait."},
    {"quiet", OPTION_BOOL, offsetof(struct config, quiet), "no", 0, 0, false, NULL, NULL,
     "Says less."},
    {"listen", OPTION_ADDRESS, offsetof(struct config, listen), "127.0.0.1:8080", 0, 0, false, NULL,
     NULL, "Where to listen."},
    {"token", OPTION_STRING, offsetof(struct config, token), NULL, 0, 0, true, NULL, "SHARED_TOKEN",
     "The first token."},
    {"base-domain", OPTION_STRING, offsetof(struct config, domain), "localhost", 0, 0, false,
     "OTHER_DOMAIN", "SHARED_DOMAIN", "Domain of the apps."},
    {"offset", OPTION_INTEGER, offsetof(struct config, offset), NULL, 0, 0, false, NULL, NULL,
     "Any number."},
};
static const struct option_table table = {"demo", "DEMO", "Shows options.", rows,
                                          sizeof(rows) / sizeof(rows[0])};

static const char *const variables[] = {
    "DEMO_NAME",     "DEMO_WORKERS",     "DEMO_MAX_BODY", "DEMO_PATIENCE",     "DEMO_QUIET",
    "DEMO_LISTEN",   "DEMO_TOKEN",       "OTHER_DOMAIN",  "DEMO_TOKEN_FILE",   "SHARED_TOKEN",
    "SHARED_DOMAIN", "DEMO_BASE_DOMAIN", "DEMO_OFFSET",   "SHARED_TOKEN_FILE", "DEMO_NAME_FILE"};

static struct config config;
static struct buffer problem;
static char secret_path[] = "/tmp/test_option.XXXXXX";

static int set_up(void **state)
{
    int file;

    (void)state;
    for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++)
        unsetenv(variables[i]);
    memset(&config, 0, sizeof(config));
    buffer_init(&problem, 10000);
    strcpy(secret_path, "/tmp/test_option.XXXXXX");
    file = mkstemp(secret_path);
    if (file < 0)
        return -1;
    close(file);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    option_release(&table, &config);
    buffer_release(&problem);
    return unlink(secret_path);
}

/* Reads options from a command line of words separated by one space. */
static enum option_action read_line(const char *line)
{
    char *words[32] = {(char *)"demo"}, *copy = strdup(line), *rest = copy;
    enum option_action action;
    int count = 1;

    while (*line && rest && count < 32)
        words[count++] = strsep(&rest, " ");
    buffer_clear(&problem);
    action = option_read(&table, count, words, &config, &problem);
    free(copy);
    return action;
}

/* The sentence for the user must hold this. */
static void check_problem(const char *line, const char *part)
{
    assert_int_equal(read_line(line), OPTION_WRONG);
    assert_true(problem.length > 0);
    if (!strstr(problem.data, part))
        fail_msg("\"%s\" does not say \"%s\"", problem.data, part);
}

static void write_secret(const char *text)
{
    assert_int_equal(file_write(secret_path, view_of(text), 0600), ERROR_NONE);
}

static void defaults_fill_what_nobody_sets(void **state)
{
    (void)state;
    assert_int_equal(read_line(""), OPTION_RUN);
    assert_null(config.name);
    assert_null(config.token);
    assert_int_equal(config.workers, 2);
    assert_int_equal(config.body, 6291456);
    assert_int_equal(config.patience_ms, 15000);
    assert_false(config.quiet);
    assert_string_equal(config.listen, "127.0.0.1:8080");
    assert_string_equal(config.domain, "localhost");
    assert_int_equal(config.offset, 0);
}

static void the_command_line_goes_before_the_environment_before_the_default(void **state)
{
    (void)state;
    setenv("DEMO_WORKERS", "7", 1);
    assert_int_equal(read_line(""), OPTION_RUN);
    assert_int_equal(config.workers, 7);
    assert_int_equal(read_line("--workers 9"), OPTION_RUN);
    assert_int_equal(config.workers, 9);
    assert_int_equal(read_line("--workers=11 --name=a=b"), OPTION_RUN);
    assert_int_equal(config.workers, 11);
    assert_string_equal(config.name, "a=b");
    assert_int_equal(read_line("--workers 3 --workers 4"), OPTION_RUN); /* the last one counts */
    assert_int_equal(config.workers, 4);
    setenv("DEMO_WORKERS", "", 1); /* empty is unset */
    assert_int_equal(read_line(""), OPTION_RUN);
    assert_int_equal(config.workers, 2);
    assert_int_equal(read_line("--name="), OPTION_RUN); /* on the command line empty is a value */
    assert_string_equal(config.name, "");
}

static void a_row_may_name_its_variable_and_a_fallback(void **state)
{
    (void)state;
    setenv("DEMO_BASE_DOMAIN", "not-asked.example", 1);
    setenv("SHARED_DOMAIN", "shared.example", 1);
    assert_int_equal(read_line(""), OPTION_RUN);
    assert_string_equal(config.domain, "shared.example");
    setenv("OTHER_DOMAIN", "own.example", 1);
    assert_int_equal(read_line(""), OPTION_RUN);
    assert_string_equal(config.domain, "own.example");
}

static void units_are_understood(void **state)
{
    static const struct {
        const char *line;
        int64_t body, patience_ms;
    } lines[] = {{"--max-body 1024 --patience 20", 1024, 20},
                 {"--max-body 2K --patience 20ms", 2048, 20},
                 {"--max-body 3M --patience 4s", 3145728, 4000},
                 {"--max-body 1G --patience 5m", 1073741824, 300000},
                 {"--max-body 2KiB --patience 1h", 2048, 3600000}};

    (void)state;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        assert_int_equal(read_line(lines[i].line), OPTION_RUN);
        assert_int_equal(config.body, lines[i].body);
        assert_int_equal(config.patience_ms, lines[i].patience_ms);
    }
    assert_int_equal(read_line("--offset -5"), OPTION_RUN);
    assert_int_equal(config.offset, -5);
}

static void booleans_have_many_spellings(void **state)
{
    static const char *const yes[] = {"true", "yes", "1", "on", "TRUE"};
    static const char *const no[] = {"false", "no", "0", "off", "Off"};
    char line[40];

    (void)state;
    for (size_t i = 0; i < 5; i++) {
        snprintf(line, sizeof(line), "--quiet %s", yes[i]);
        assert_int_equal(read_line(line), OPTION_RUN);
        assert_true(config.quiet);
        snprintf(line, sizeof(line), "--quiet=%s", no[i]);
        assert_int_equal(read_line(line), OPTION_RUN);
        assert_false(config.quiet);
    }
}

static void values_that_are_not_right_name_the_option_and_what_is_allowed(void **state)
{
    (void)state;
    check_problem("--workers 0",
                  "--workers: \"0\" is not right: it must be a whole number from 1 to 64");
    check_problem("--workers 65", "--workers");
    check_problem("--workers two", "--workers");
    check_problem("--workers 2K", "--workers");
    check_problem("--workers=", "--workers");
    check_problem("--workers 99999999999999999999", "--workers");
    check_problem("--max-body 6T", "units K, M, G");
    check_problem("--max-body 1", "from 1K to 1G");
    check_problem("--max-body -5K", "--max-body");
    check_problem("--max-body 99999999999G", "--max-body");
    check_problem("--patience 2h", "from 0ms to 1h");
    check_problem("--patience 1d", "units ms, s, m, h");
    check_problem("--quiet maybe", "true or false");
    setenv("DEMO_WORKERS", "many", 1);
    check_problem("", "DEMO_WORKERS: \"many\"");
}

static void addresses_are_checked_for_form(void **state)
{
    static const char *const good[] = {"127.0.0.1:0", "localhost:65535", "[::1]:8080", "[::]:0",
                                       "my_host-1.example:80"};
    static const char *const bad[] = {
        "8080",      ":8080", "localhost", "localhost:", "host:65536", "host:-1", "host:80x",
        "::1:80",    "[::1]", "[::1:80",   "[]:80",      "[abc]:80",   "a b:80",  "http://a:8",
        "[::1]x:80", ""};
    char line[80];

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        snprintf(line, sizeof(line), "--listen=%s", good[i]);
        assert_int_equal(read_line(line), OPTION_RUN);
        assert_string_equal(config.listen, good[i]);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char *arguments[] = {(char *)"demo", (char *)"--listen", (char *)bad[i]};

        buffer_clear(&problem);
        assert_int_equal(option_read(&table, 3, arguments, &config, &problem), OPTION_WRONG);
        assert_non_null(strstr(problem.data, "HOST:PORT"));
    }
}

static void unknown_options_missing_values_and_stray_words_are_wrong(void **state)
{
    (void)state;
    check_problem("--wrokers 2", "unknown option --wrokers");
    check_problem("-w 2", "unknown option -w");
    check_problem("--", "unknown option --");
    check_problem("--workers", "--workers needs a value");
    check_problem("--quiet yes extra", "stray argument extra");
    check_problem("extra", "stray argument extra");
    check_problem("--check=1", "unknown option --check=1");
    check_problem("--name-file x", "unknown option --name-file"); /* it is no secret */
}

static void a_secret_may_come_from_a_file(void **state)
{
    char line[100];

    (void)state;
    write_secret("from file\r\n");
    snprintf(line, sizeof(line), "--token-file %s", secret_path);
    assert_int_equal(read_line(line), OPTION_RUN);
    assert_string_equal(config.token, "from file");
    write_secret("two\n\n");
    setenv("SHARED_TOKEN_FILE", secret_path, 1);
    assert_int_equal(read_line(""), OPTION_RUN);
    assert_string_equal(config.token, "two\n"); /* one line end is dropped */
    setenv("SHARED_TOKEN", "shared", 1);
    assert_int_equal(read_line(""), OPTION_RUN);
    assert_string_equal(config.token, "shared");
    setenv("DEMO_TOKEN_FILE", secret_path, 1);
    assert_int_equal(read_line(""), OPTION_RUN);
    assert_string_equal(config.token, "two\n"); /* its own variable goes before the fallback */
    setenv("DEMO_TOKEN", "own", 1);
    assert_int_equal(read_line(""), OPTION_RUN);
    assert_string_equal(config.token, "own");
    assert_int_equal(read_line("--token=line"), OPTION_RUN);
    assert_string_equal(config.token, "line");
}

static void a_secret_file_that_cannot_be_used_is_wrong(void **state)
{
    char line[100];

    (void)state;
    check_problem("--token-file /nonexistent/token", "--token-file: the file /nonexistent/token");
    snprintf(line, sizeof(line), "--token-file %s", secret_path);
    assert_int_equal(file_write(secret_path, VIEW("a\0b"), 0600), ERROR_NONE);
    check_problem(line, "NUL");
    {
        static char large[65537];

        memset(large, 'x', sizeof(large));
        assert_int_equal(file_write(secret_path, view_from(large, sizeof(large)), 0600),
                         ERROR_NONE);
    }
    check_problem(line, "larger than its ceiling");
}

static void a_wrong_secret_is_never_shown(void **state)
{
    static const struct option_row secret_row = {
        "key", OPTION_ADDRESS, 0, NULL, 0, 0, true, NULL, NULL, "An address nobody may see."};
    static const struct option_table secrets = {"demo", "DEMO", "Hides.", &secret_row, 1};
    char *words[] = {(char *)"demo", (char *)"--key=hunter2"};
    char *address = NULL;

    (void)state;
    assert_int_equal(option_read(&secrets, 2, words, &address, &problem), OPTION_WRONG);
    assert_null(strstr(problem.data, "hunter2"));
    assert_non_null(strstr(problem.data, "--key"));
}

static void secrets_from_files_are_read_again(void **state)
{
    char *words[] = {(char *)"demo", (char *)"--token-file", secret_path};

    (void)state;
    write_secret("first");
    assert_int_equal(option_read(&table, 3, words, &config, &problem), OPTION_RUN);
    write_secret("second\n");
    assert_int_equal(option_reread_secrets(&table, 3, words, &config, &problem), ERROR_NONE);
    assert_string_equal(config.token, "second");
    assert_int_equal(unlink(secret_path), 0);
    assert_int_equal(option_reread_secrets(&table, 3, words, &config, &problem), ERROR_NOT_FOUND);
    assert_non_null(strstr(problem.data, "--token-file"));
    assert_string_equal(config.token, "second"); /* the old one stays */
    write_secret("");
}

/* What a call prints on standard output. */
static void capture(const char *line, enum option_action expected, struct buffer *printed)
{
    int saved = dup(STDOUT_FILENO);
    FILE *file = tmpfile();
    enum option_action action;
    char *room;

    assert_non_null(file);
    fflush(stdout);
    dup2(fileno(file), STDOUT_FILENO);
    action = read_line(line);
    fflush(stdout);
    dup2(saved, STDOUT_FILENO);
    close(saved);
    room = buffer_reserve(printed, 20000);
    rewind(file);
    buffer_commit(printed, fread(room, 1, 20000, file));
    fclose(file);
    assert_int_equal(action, expected);
}

static void help_explains_each_option(void **state)
{
    struct buffer printed;

    (void)state;
    buffer_init(&printed, 40000);
    setenv("DEMO_TOKEN", "hunter2", 1);
    capture("--help", OPTION_EXIT, &printed);
    for (size_t i = 0; i < table.count; i++) {
        char text[80];

        snprintf(text, sizeof(text), "--%s", rows[i].name);
        assert_non_null(strstr(printed.data, text));
        assert_non_null(strstr(printed.data, rows[i].help));
    }
    assert_non_null(strstr(printed.data, "--token-file"));
    assert_non_null(strstr(printed.data, "DEMO_TOKEN_FILE"));
    assert_non_null(strstr(printed.data, "SHARED_TOKEN_FILE"));
    assert_non_null(strstr(printed.data, "OTHER_DOMAIN, SHARED_DOMAIN"));
    assert_non_null(strstr(printed.data, "default 127.0.0.1:8080"));
    assert_non_null(strstr(printed.data, "--check"));
    assert_null(strstr(printed.data, "hunter2"));
    buffer_release(&printed);
}

static void version_and_check_and_markdown_are_answered(void **state)
{
    struct buffer printed;

    (void)state;
    buffer_init(&printed, 40000);
    capture("--version", OPTION_EXIT, &printed);
    check_buffer(&printed, "demo " RELEASE_VERSION "\n");
    buffer_clear(&printed);
    capture("--check --workers 5", OPTION_CHECK, &printed);
    assert_int_equal(printed.length, 0);
    assert_int_equal(config.workers, 5);
    check_problem("--check --workers 0", "--workers");
    capture("--help-markdown", OPTION_EXIT, &printed);
    assert_non_null(strstr(printed.data, "| `--token`, `--token-file` | `DEMO_TOKEN`, "
                                         "`DEMO_TOKEN_FILE`, `SHARED_TOKEN`, `SHARED_TOKEN_FILE` "
                                         "| none | The first token. Takes a text. |\n"));
    assert_non_null(strstr(printed.data, "A name \\| with a bar."));
    assert_non_null(strstr(printed.data, "| `--workers` | `DEMO_WORKERS` | `2` | Worker threads. "
                                         "Takes a whole number from 1 to 64. |\n"));
    buffer_release(&printed);
}

#define WITH_CONFIG(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_CONFIG(defaults_fill_what_nobody_sets),
        WITH_CONFIG(the_command_line_goes_before_the_environment_before_the_default),
        WITH_CONFIG(a_row_may_name_its_variable_and_a_fallback),
        WITH_CONFIG(units_are_understood),
        WITH_CONFIG(booleans_have_many_spellings),
        WITH_CONFIG(values_that_are_not_right_name_the_option_and_what_is_allowed),
        WITH_CONFIG(addresses_are_checked_for_form),
        WITH_CONFIG(unknown_options_missing_values_and_stray_words_are_wrong),
        WITH_CONFIG(a_secret_may_come_from_a_file),
        WITH_CONFIG(a_secret_file_that_cannot_be_used_is_wrong),
        WITH_CONFIG(a_wrong_secret_is_never_shown),
        WITH_CONFIG(secrets_from_files_are_read_again),
        WITH_CONFIG(help_explains_each_option),
        WITH_CONFIG(version_and_check_and_markdown_are_answered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
