# Unit tests of common/contract, one program per module; vectors.c walks over tests/vectors.
foreach(module host path route event reply prelude event_stream json_scan jwt jwk forwarded preference)
  unit_test(common/contract/test_${module} LIBRARIES common_contract
            SOURCES ${CMAKE_CURRENT_LIST_DIR}/vectors.c)
endforeach()
