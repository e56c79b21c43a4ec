/** Whether a number is finite, from its bits: WGSL may take for granted that all numbers are. */

/** `finite(bits)` of the bits of an f32. */
export const finite: string = /* wgsl */ `
fn finite(bits: u32) -> bool { return (bits & 0x7f800000u) != 0x7f800000u; }
`;
