@0xd1f1a7c0d5e2b393;
# The records in 0-fs' archives: the numbers and sizes of fields are the format, the names are ours. What the format
# calls text is read as bytes with a NUL at the end, since names of files need not be UTF-8.

struct Block { id @0 :Data; key @1 :Data; }

struct File { size4k @0 :UInt16; blocks @1 :List(Block); }
struct Link { target @0 :Data; }
struct Special { kind @0 :UInt16; data @1 :Data; }
struct Folder { key @0 :Data; }

struct Entry {
  name @0 :Data;
  size @1 :UInt64;
  what :union {
    folder @2 :Folder;
    file @3 :File;
    link @4 :Link;
    special @5 :Special;
  }
  acl @6 :Data;
  mtime @7 :UInt32;
  ctime @8 :UInt32;
}

struct Listing {
  name @0 :Data;
  location @1 :Data;
  entries @2 :List(Entry);
  parent @3 :Data;
  size @4 :UInt64;
  acl @5 :Data;
  mtime @6 :UInt32;
  ctime @7 :UInt32;
}

struct Right { right @0 :Data; group @1 :UInt16; }

struct Acl {
  user @0 :Data;
  group @1 :Data;
  mode @2 :UInt16;
  rights @3 :List(Right);
  id @4 :UInt32;
  uid @5 :Int64 = -1;
  gid @6 :Int64 = -1;
}
