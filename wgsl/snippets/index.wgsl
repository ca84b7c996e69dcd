// The number of a thread among those of GpuBuilder.spread(): the entry's workgroup_id, num_workgroups, local_invocation_index, and the workgroup's size.
fn thread_of(group: vec3u, groups: vec3u, local: u32, size: u32) -> u32 {
  return (group.y * groups.x + group.x) * size + local;
}
