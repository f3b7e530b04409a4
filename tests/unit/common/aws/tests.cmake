# Tests of common/aws, and sigv4_cli, by which tests/blackbox/sigv4_oracle.py holds it against botocore.
unit_test(common/aws/test_sigv4 LIBRARIES common_aws)
unit_test(common/aws/test_credentials LIBRARIES common_aws)
unit_test(common/aws/test_endpoint LIBRARIES common_aws)

add_executable(sigv4_cli ${CMAKE_CURRENT_SOURCE_DIR}/common/aws/sigv4_cli.c)
set_target_properties(sigv4_cli PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin/tools)
target_link_libraries(sigv4_cli PRIVATE common_aws)
