/* Tests of runtimes: known names, reserved variables, the command and environment of a sandbox. */
#include "tests/unit/deploy/lambda-local/check.h"

#include "deploy/lambda-local/runtimes.h"

static void node_python_and_provided_are_known_and_no_other(void **state)
{
    static const char *const known[] = {"nodejs18.x", "nodejs24.x",      "python3.9",
                                        "python3.15", "provided.al2023", "provided"};
    static const char *const unknown[] = {"",           "java21",      "python2.7",
                                          "ruby3.4",    "nodejs20.x ", "nodejs/../x",
                                          "Nodejs20.x", "providedx"};

    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        assert_true(runtime_known(view_of(known[i])));
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++)
        assert_false(runtime_known(view_of(unknown[i])));
}

static void lambdas_own_variables_are_reserved(void **state)
{
    (void)state;
    assert_true(runtime_variable_reserved(VIEW("AWS_REGION")));
    assert_true(runtime_variable_reserved(VIEW("_HANDLER")));
    assert_true(runtime_variable_reserved(VIEW(RUNTIME_MARK_VARIABLE)));
    assert_false(runtime_variable_reserved(VIEW("AWS_SDK_LOAD_CONFIG")));
    assert_false(runtime_variable_reserved(VIEW("PATH")));
}

static const char *variable(char *const *environment, const char *name)
{
    size_t length = strlen(name);
    const char *found = NULL;

    for (; *environment; environment++) {
        if (strncmp(*environment, name, length) == 0 && (*environment)[length] == '=') {
            assert_null(found); /* once at most */
            found = *environment + length + 1;
        }
    }
    return found;
}

static void a_command_has_lambdas_variables_and_the_functions_own(void **state)
{
    struct config config = {.runtimes_dir = (char *)"/shims",
                            .node = (char *)"/bin/node",
                            .python = (char *)"/bin/python3",
                            .access_key_id = (char *)"id",
                            .secret_access_key = (char *)"secret"};
    struct runtime_place place = {"127.0.0.1:5", "stream", "/scratch", "mark"};
    struct function *function = function_new("f", view_duplicate(VIEW("/functions/f")));
    struct version *version =
        version_new(function, function_code(function, "00"),
                    tree("{\"Runtime\":\"nodejs20.x\",\"Handler\":\"a.b\",\"MemorySize\":256,"
                         "\"Timeout\":3,\"Environment\":{\"Variables\":{\"PATH\":\"/mine\","
                         "\"MY\":\"x=y\"}}}"),
                    7);
    struct runtime_command command;

    (void)state;
    runtime_command_make(&config, version, &place, &command);
    assert_string_equal(command.arguments[0], "/bin/node");
    assert_string_equal(command.arguments[1], "--max-old-space-size=230");
    assert_string_equal(command.arguments[2], "/shims/nodejs/bootstrap.js");
    assert_null(command.arguments[3]);
    assert_string_equal(variable(command.environment, "PATH"), "/mine");
    assert_string_equal(variable(command.environment, "MY"), "x=y");
    assert_string_equal(variable(command.environment, "_HANDLER"), "a.b");
    assert_string_equal(variable(command.environment, "LAMBDA_TASK_ROOT"), "/functions/f/code/00");
    assert_string_equal(variable(command.environment, "AWS_LAMBDA_FUNCTION_VERSION"), "7");
    assert_string_equal(variable(command.environment, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE"), "256");
    assert_string_equal(variable(command.environment, "AWS_LAMBDA_RUNTIME_API"), "127.0.0.1:5");
    assert_string_equal(variable(command.environment, "TMPDIR"), "/scratch");
    assert_string_equal(variable(command.environment, RUNTIME_MARK_VARIABLE), "mark");
    runtime_command_release(&command);
    version_release(version);
    function_release(function);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(node_python_and_provided_are_known_and_no_other),
        cmocka_unit_test(lambdas_own_variables_are_reserved),
        cmocka_unit_test(a_command_has_lambdas_variables_and_the_functions_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
