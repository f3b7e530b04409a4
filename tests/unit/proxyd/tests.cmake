# The unit tests of proxyd, and the tool that publishes routes for its black-box tests.
unit_test(proxyd/test_fault LIBRARIES proxyd_core)
unit_test(proxyd/test_outcome LIBRARIES proxyd_core)
unit_test(proxyd/test_stream LIBRARIES proxyd_core)
unit_test(proxyd/test_limits LIBRARIES proxyd_core)
unit_test(proxyd/test_breaker LIBRARIES proxyd_core)
unit_test(proxyd/test_queue LIBRARIES proxyd_core)
unit_test(proxyd/test_metrics LIBRARIES proxyd_core)
target_compile_definitions(proxyd_test_fault PRIVATE DOCS_DIR="${CMAKE_SOURCE_DIR}/docs")
target_compile_definitions(proxyd_test_metrics PRIVATE DOCS_DIR="${CMAKE_SOURCE_DIR}/docs")

add_executable(route_tool ${CMAKE_CURRENT_LIST_DIR}/route_tool.c)
set_target_properties(route_tool PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin/unit/proxyd)
target_link_libraries(route_tool PRIVATE common_store common_base)
