# Copyright (c) 2026, the macops.parallels developers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to this collection: not for use from outside of it.
"""The options of a store, the same in every module: its address and its credentials."""

from __future__ import annotations


class ModuleDocFragment:
    """Fragment: the options of all kinds of stores."""

    DOCUMENTATION = r"""
options:
  destination:
    description:
      - URL of the folder where images are published. Its scheme selects the kind of store.
      - C(https://host/folder) is a WebDAV server, an Artifactory repository, a Nexus raw repository, or another server
        that accepts files with a plain C(PUT). See O(https_method).
      - C(s3://bucket/prefix) is a bucket of Amazon S3 or, with O(endpoint_url), of another S3 server.
      - C(azblob://account/container/prefix) is a container of Azure Blob Storage.
      - C(sftp://host/path) is a folder on an SSH server, such as the document root of a web server.
      - C(sharepoint://tenant/site/drive/path) is a folder in a document library of SharePoint Online.
      - C(file:///folder) is a folder on the host that runs the module, such as a mounted share or a web root.
      - It must not contain a user name or a password, because URLs are logged. C(http://) is refused.
    type: str
    required: true
  username:
    description: User name for C(https://) and C(sftp://) destinations.
    type: str
  password:
    description: Password of O(username).
    type: str
  token:
    description:
      - Bearer token for the store, instead of O(username) and O(password), O(account_key) or O(client_secret).
    type: str
  ca_path:
    description:
      - Path of a PEM file with certificate authorities, on the host that runs the module. Use it for a store whose
        certificate is issued by your own authority. It replaces the public certificate authorities.
      - By default the file named by one of the environment variables E(REQUESTS_CA_BUNDLE), E(CURL_CA_BUNDLE) and
        E(SSL_CERT_FILE), else the public authorities of the C(requests) library. The macOS keychain is not used.
    type: path
  proxy:
    description:
      - URL of the proxy between the host that runs the module and the store. It may contain a user name and a password.
      - By default the environment variables E(HTTPS_PROXY), E(ALL_PROXY) and E(NO_PROXY) are used. The macOS system
        settings are not used.
    type: str
  part_size:
    description:
      - Bytes of an image in one request, for a store that accepts it in parts. May have a unit, such as V(64M). At
        least V(1M). After an interruption, at most one part is sent again.
      - The default depends on the kind of store. It is V(64M) for S3, Azure and WebDAV servers that can resume a file.
        Other HTTPS servers receive a file in one request, and C(file://) folders need no parts.
      - For S3 at least V(5M) and at most V(5119M). Each part is up to 1 MiB larger, so that a later run recognizes
        which image an unfinished upload belongs to.
      - If a store limits the number of parts, larger parts are used for a large image.
      - A server that copies the whole file for each part, such as lighttpd with C(partial-put-copy-modify), needs a
        much larger value, such as V(8G).
    type: str
  concurrency:
    description:
      - How many parts are sent at the same time, from 1 to 32, for a store that accepts parts in parallel (S3, Azure,
        SFTP).
      - The default depends on the kind of store. A higher value helps if the store is far away. Too high a value makes
        servers and office connections fail.
    type: int
  rate_limit:
    description:
      - Maximum upload speed in bytes per second, with an optional unit, such as V(20M). K, M and G are powers of 1024.
      - By default the speed is not limited.
    type: str
  timeout:
    description:
      - Seconds to wait for a server while connecting, while it receives bytes, and for its answer.
      - After the last byte of an image, one second for each 10 MiB of the image is added.
      - A very slow connection counts as broken too. Each MiB may take this long and one minute more.
    type: int
    default: 60
  retries:
    description:
      - How often to retry after a transient failure, such as a broken connection or a busy server. The pauses grow from
        2 seconds to 2 minutes, unless the server asks for another pause.
    type: int
    default: 4
  https_method:
    description:
      - How files are written to an HTTPS server.
      - V(webdav) sends a file under a temporary name that starts with a dot, and then renames it (C(MOVE)). An
        incomplete file is never visible, and other bytes under the final name are never overwritten by accident. A
        server that refuses or hides such names gets one without a dot.
      - V(artifactory) is for JFrog Artifactory repositories. It sends the SHA-256 checksum of the image first. If
        Artifactory already has the image under any name, no bytes are sent. Otherwise the file is sent to its final
        name, together with its SHA-256 checksum, which Artifactory verifies.
      - V(nexus) is for Sonatype Nexus raw repositories. Files are sent to their final names.
      - V(put) sends a file to its final name on other servers. Apache, nginx and repositories show a file only after
        all of it has arrived. On a server that shows incomplete files, the module removes the file after a failure, or
        at its next run if it was killed.
      - V(auto) uses V(artifactory), V(nexus) or V(webdav) if the server identifies itself as such, else V(put).
      - Redirects of downloads to another server are followed only for V(artifactory) and V(nexus), which may keep their
        files in an object storage. They are never followed into a private, loopback or link-local network that the
        store is not in.
    type: str
    choices: [auto, webdav, artifactory, nexus, put]
    default: auto
  endpoint_url:
    description:
      - URL of the service, if it is not the public one of Amazon or Microsoft. Such as V(https://s3.example.com) for
        Ceph, MinIO or SeaweedFS, or V(https://ACCOUNT.blob.core.usgovcloudapi.net).
    type: str
  access_key:
    description:
      - Access key of an S3 store. By default boto3 searches for credentials on the host that runs the module, such as
        in E(AWS_ACCESS_KEY_ID), in a profile (E(AWS_PROFILE)), or from the role of a machine. Such credentials are
        renewed if they expire during an upload and their source has new ones.
    type: str
  secret_key:
    description: Secret key of O(access_key).
    type: str
  session_token:
    description: Session token, for a temporary O(access_key).
    type: str
  region:
    description:
      - Region of an S3 bucket, such as V(eu-central-1). By default the region that boto3 finds in
        E(AWS_DEFAULT_REGION) or in a profile. Required for Amazon buckets. With O(endpoint_url) the default is
        V(us-east-1), which most other servers expect.
    type: str
  s3_storage_class:
    description:
      - Storage class of images in S3, such as V(STANDARD_IA). By default none is requested, which means V(STANDARD).
      - V(GLACIER) and V(DEEP_ARCHIVE) are refused, because nothing can be downloaded from them.
    type: str
  s3_acl:
    description:
      - Canned access control list of what is written to S3, such as V(public-read). By default none is sent, which
        buckets without access control lists require. Prefer a bucket policy to let everyone read.
    type: str
  s3_encryption:
    description: Encryption at rest that is requested for everything written to S3. By default that of the bucket.
    type: str
    choices: [AES256, "aws:kms"]
  s3_kms_key_id:
    description: ID or ARN of the key for O(s3_encryption=aws:kms). By default the key of the account for S3.
    type: str
  s3_tags:
    description: Tags of everything written to S3, at most 10.
    type: dict
  s3_checksum:
    description:
      - Checksum with which an S3 store verifies each part.
      - V(auto) uses SHA-256 if the store verifies it, else C(Content-MD5) if the store verifies that. Amazon verifies
        SHA-256. Other servers are tested with a small file.
      - With V(none) only TLS protects the bytes in transit. Use it for servers that refuse all other values.
    type: str
    choices: [auto, sha256, crc32, none]
    default: auto
  account_key:
    description: Key of an Azure storage account.
    type: str
  sas_token:
    description:
      - Shared access signature for an Azure container, with the permissions read, create, write, delete and list.
    type: str
  azblob_tier:
    description: Access tier of images in Azure. By default that of the account.
    type: str
    choices: [Hot, Cool, Cold]
  private_key_path:
    description:
      - Path of a private key for C(sftp://), on the host that runs the module. Without it and without O(password), the
        keys of an SSH agent are used.
    type: path
  private_key_passphrase:
    description: Passphrase of O(private_key_path).
    type: str
  known_hosts_path:
    description:
      - Path of the file with the keys of known SSH servers, on the host that runs the module. By default
        C(~/.ssh/known_hosts). A server that is not in it is refused.
    type: path
  tenant_id:
    description: Microsoft Entra tenant (directory) for a C(sharepoint://) destination, as its ID or its domain name.
    type: str
  client_id:
    description: ID of the application that may write to the document library.
    type: str
  client_secret:
    description: Secret of O(client_id).
    type: str
requirements:
  - requests >= 2.25.0 and urllib3 >= 1.26.0, for C(https://), C(s3://) and C(sharepoint://) destinations
  - boto3 >= 1.26.0, for C(s3://) destinations
  - azure-storage-blob >= 12.14.0, for C(azblob://) destinations
  - paramiko >= 2.9.0, for C(sftp://) destinations
notes:
  - Passwords are never read from a C(.netrc) file.
"""
