# The unit tests of common/net.
unit_test(common/net/test_outgoing LIBRARIES common_net PkgConfig::LIBEVENT)
