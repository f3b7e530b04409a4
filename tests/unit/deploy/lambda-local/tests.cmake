# Unit tests of deploy/lambda-local, one program per module that needs no process and no socket.
foreach(module function_name payload settings runtimes function_record function_store refusal process)
  unit_test(deploy/lambda-local/test_${module} LIBRARIES lambda_local)
endforeach()
