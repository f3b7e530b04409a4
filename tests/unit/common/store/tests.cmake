# Tests of common/store. tests/vectors/records is the compatibility promise: files are added, never changed.
unit_test(common/store/test_codec LIBRARIES common_store)
unit_test(common/store/test_route_record LIBRARIES common_store)
unit_test(common/store/test_store LIBRARIES common_store)
unit_test(common/store/test_store_files LIBRARIES common_store)
unit_test(common/store/test_store_threads LIBRARIES common_store)
unit_test(common/store/test_store_check LIBRARIES common_store)
unit_test(common/store/test_store_processes LIBRARIES common_store)
