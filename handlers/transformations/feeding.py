"""A file that comes, or is described, becomes an input of every transformation whose query it fits."""

from domain.data.directory import Directory
from domain.data.file import File
from handlers.policy import BatchPolicy

FILES = (File.Registered, File.Stored, File.Restored, File.ReplicaAdded, File.Described)
policy = BatchPolicy("transformation_feeding", "files", (*FILES, Directory.Described), __name__)
