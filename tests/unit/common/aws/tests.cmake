# Tests of common/aws, and the programs by which tests/blackbox holds it against botocore.
unit_test(common/aws/test_sigv4 LIBRARIES common_aws)
unit_test(common/aws/test_credentials LIBRARIES common_aws)
unit_test(common/aws/test_credentials_source LIBRARIES common_aws common_net PkgConfig::LIBEVENT)
unit_test(common/aws/test_credentials_answer LIBRARIES common_aws)
unit_test(common/aws/test_endpoint LIBRARIES common_aws)
unit_test(common/aws/test_ini LIBRARIES common_aws)
unit_test(common/aws/test_refusal LIBRARIES common_aws)

foreach(tool sigv4_cli identity_cli)
  add_executable(${tool} ${CMAKE_CURRENT_SOURCE_DIR}/common/aws/${tool}.c)
  set_target_properties(${tool} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin/tools)
  target_link_libraries(${tool} PRIVATE common_aws)
endforeach()
