# mypy: ignore-errors
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class FetchDeploymentRequest(_message.Message):
    __slots__ = ("twin", "session", "hash")
    TWIN_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    HASH_FIELD_NUMBER: _ClassVar[int]
    twin: int
    session: str
    hash: str
    def __init__(self, twin: _Optional[int] = ..., session: _Optional[str] = ..., hash: _Optional[str] = ...) -> None: ...

class OpenDeploymentRequest(_message.Message):
    __slots__ = ("key", "cipher")
    KEY_FIELD_NUMBER: _ClassVar[int]
    CIPHER_FIELD_NUMBER: _ClassVar[int]
    key: bytes
    cipher: bytes
    def __init__(self, key: _Optional[bytes] = ..., cipher: _Optional[bytes] = ...) -> None: ...

class Document(_message.Message):
    __slots__ = ("json",)
    JSON_FIELD_NUMBER: _ClassVar[int]
    json: bytes
    def __init__(self, json: _Optional[bytes] = ...) -> None: ...
