//! Classic BPF, as much of it as the filter needs.
//!
//! Layout of the data it looks at and of an instruction: <https://docs.kernel.org/userspace-api/seccomp_filter.html>.

/// `struct sock_filter`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Instruction {
    pub(super) code: u16,
    pub(super) if_true: u8,
    pub(super) if_false: u8,
    pub(super) value: u32,
}

pub(super) const LOAD: u16 = 0x20;
pub(super) const JUMP_EQUAL: u16 = 0x15;
pub(super) const JUMP_GREATER: u16 = 0x25;
pub(super) const JUMP_BITS: u16 = 0x45;
pub(super) const AND: u16 = 0x54;
pub(super) const RETURN: u16 = 0x06;

pub(super) const ALLOW: u32 = 0x7fff_0000;
pub(super) const KILL_PROCESS: u32 = 0x8000_0000;
pub(super) const ERRNO: u32 = 0x0005_0000;

/// Where `struct seccomp_data` has the call's number, the architecture and the first argument.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

impl Instruction {
    fn new(code: u16, value: u32) -> Self {
        Self { code, if_true: 0, if_false: 0, value }
    }

    fn skip(mut self, if_true: u8, if_false: u8) -> Self {
        (self.if_true, self.if_false) = (if_true, if_false);
        self
    }

    /// Returns it as the kernel reads it.
    pub(super) fn bytes(&self) -> [u8; 8] {
        let ([a, b], [c, d, e, f]) = (self.code.to_ne_bytes(), self.value.to_ne_bytes());
        [a, b, self.if_true, self.if_false, c, d, e, f]
    }
}

/// Collects instructions.
#[derive(Default)]
pub(super) struct Assembler {
    program: Vec<Instruction>,
}

impl Assembler {
    fn push(&mut self, instruction: Instruction) {
        self.program.push(instruction);
    }

    pub(super) fn unless_architecture_kill(&mut self, architecture: u32) {
        self.push(Instruction::new(LOAD, ARCHITECTURE));
        self.push(Instruction::new(JUMP_EQUAL, architecture).skip(1, 0));
        self.push(Instruction::new(RETURN, KILL_PROCESS));
        self.push(Instruction::new(LOAD, NUMBER));
    }

    pub(super) fn above_errno(&mut self, number: u32, errno: u32) {
        self.push(Instruction::new(JUMP_GREATER, number).skip(0, 1));
        self.errno(errno);
    }

    pub(super) fn call_errno(&mut self, number: u32, errno: u32) {
        self.equal_errno(number, errno);
    }

    /// Adds a rule about one call. Whatever the rule does not decide is allowed.
    pub(super) fn call(&mut self, number: u32, rule: impl FnOnce(&mut Self)) {
        self.when_equal(number, rule);
    }

    /// Adds a rule for one value of what is loaded. Whatever the rule does not decide is allowed.
    pub(super) fn when_equal(&mut self, value: u32, rule: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        rule(&mut inner);
        inner.push(Instruction::new(RETURN, ALLOW));
        // A rule is a few dozen instructions; a jump reaches 255.
        let length = u8::try_from(inner.program.len()).unwrap_or(u8::MAX);
        self.push(Instruction::new(JUMP_EQUAL, value).skip(0, length));
        self.program.append(&mut inner.program);
    }

    /// Loads the lower half of an argument; both architectures are little-endian.
    pub(super) fn load_argument(&mut self, index: u32) {
        self.push(Instruction::new(LOAD, ARGUMENTS + 8 * index));
    }

    pub(super) fn equal_errno(&mut self, value: u32, errno: u32) {
        self.push(Instruction::new(JUMP_EQUAL, value).skip(0, 1));
        self.errno(errno);
    }

    /// Keeps these bits of what is loaded.
    pub(super) fn mask(&mut self, bits: u32) {
        self.push(Instruction::new(AND, bits));
    }

    pub(super) fn unless_one_of_errno(&mut self, values: &[u32], errno: u32) {
        for (value, left) in values.iter().zip((1..=values.len()).rev()) {
            // Past the values that are left and the refusal behind them.
            self.push(Instruction::new(JUMP_EQUAL, *value).skip(u8::try_from(left).unwrap_or(u8::MAX), 0));
        }
        self.errno(errno);
    }

    pub(super) fn equal_allow(&mut self, value: u32) {
        self.push(Instruction::new(JUMP_EQUAL, value).skip(0, 1));
        self.push(Instruction::new(RETURN, ALLOW));
    }

    pub(super) fn any_bit_errno(&mut self, bits: u32, errno: u32) {
        self.push(Instruction::new(JUMP_BITS, bits).skip(0, 1));
        self.errno(errno);
    }

    pub(super) fn errno(&mut self, errno: u32) {
        self.push(Instruction::new(RETURN, ERRNO | errno));
    }

    pub(super) fn finish(mut self) -> Vec<Instruction> {
        self.push(Instruction::new(RETURN, ALLOW));
        self.program
    }
}
