//! Tests of Millstream as a whole. This library is empty; the tests are in `whole/`, one binary, since each links DataFusion.
